#!/usr/bin/node
// Asks a raw_server with Node's own HTTP client over keep-alive connections, several at a time.
//
//   ask_node.js ADDR:PORT COUNT SEED WAITS LOG     WAITS: JSON list of ms, in turn; lines as raw_client.c writes them
'use strict';
const fs = require('fs');
const http = require('http');

const [to, count, seed, waits, log] = process.argv.slice(2);
const [host, port] = to.split(':');
const STATUSES = [200, 200, 200, 204, 304, 404, 500, 503];
const FRAMES = ['length', 'length', 'chunked', 'close'];
const SIZES = [0, 1, 100, 1448, 20000, 200000];
const WAITS = JSON.parse(waits);
const AT_ONCE = WAITS.length > 1 ? 1 : 4;  // what is timed is not to wait for others
const agent = new http.Agent({keepAlive: true, maxSockets: AT_ONCE});
const lines = [];

let state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
function draw(list) {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return list[Number((state >> 33n) % BigInt(list.length))];
}

function ask() {
    return new Promise((done) => {
        const status = draw(STATUSES), frame = draw(FRAMES), size = draw(SIZES), method = draw(['GET', 'GET', 'HEAD', 'POST']);
        const path = `/?status=${status}&frame=${frame}&size=${size}&interim=${draw([0, 0, 1])}` +
                     `&wait=${WAITS[left % WAITS.length]}`;
        const body = method === 'POST' ? Buffer.alloc(draw([1, 50, 5000]), 'x') : null;
        const headers = body && draw([0, 1]) ? {'content-length': body.length} : {};
        let socket, sent, received, began;
        const broken = () => { lines.push('0 - - 0 0 0 0 broken'); done(); };
        const request = http.request({host, port, method, path, agent, headers}, (answer) => {
            const first = process.hrtime.bigint();
            let got = 0;
            answer.on('data', (data) => { got += data.length; });
            answer.on('aborted', broken);
            answer.on('end', () => {
                const now = process.hrtime.bigint();
                const wanted = method === 'HEAD' || status === 204 || status === 304 ? 0 : size;
                const good = answer.statusCode === status && got === wanted;
                lines.push([answer.statusCode, answer.headers['x-version'], method, socket.bytesWritten - sent,
                            socket.bytesRead - received, first - began, now - began, good ? 'ok' : 'wrong'].join(' '));
                done();
            });
        });
        request.on('socket', (given) => {
            socket = given;
            sent = given.bytesWritten;
            received = given.bytesRead;
            began = process.hrtime.bigint();
        });
        request.on('error', broken);
        request.end(body);
    });
}

async function worker() {
    while (left-- > 0) {
        await ask();
    }
}

let left = Number(count);
Promise.all(Array.from({length: AT_ONCE}, worker)).then(() => {
    agent.destroy();
    fs.writeFileSync(log, lines.join('\n') + '\n');
});
