// Node's HTTP server as a reader of requests: answers each with what llhttp made of it, as JSON. `echo_node.js ADDR PORT`
// says `ready` when it listens. As a reader of answers: POST /ask with "ADDR:PORT" in the body asks that server for
// /answer and tells what came.
"use strict";
const http = require("http");

function whole(stream, done) {
  const parts = [];
  let over = false;
  const end = (complete) => {
    if (!over) {
      over = true;
      done(Buffer.concat(parts).toString("latin1"), complete);
    }
  };
  stream.on("data", (part) => parts.push(part));
  stream.on("end", () => end(stream.complete !== false));
  stream.on("error", () => end(false));
  stream.on("aborted", () => end(false));
}

function say(response, value) {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(200, { "content-length": body.length });
  response.end(body);
}

function ask(where, response) {
  const [host, port] = where.split(":");
  const asked = http.request({ host, port, path: "/answer", agent: false }, (answer) =>
    whole(answer, (body, complete) => say(response, complete ? { status: answer.statusCode, body } : { broken: true })));
  asked.on("error", () => say(response, { broken: true }));
  asked.end();
}

const server = http.createServer({ keepAliveTimeout: 20000 }, (request, response) =>
  whole(request, (body, complete) => {
    if (request.url === "/ask" && request.headers.host === "reader") {
      ask(body, response);
    } else if (complete) {
      say(response, { method: request.method, target: request.url, host: request.headers.host, body });
    }
  }));
server.listen(Number(process.argv[3]), process.argv[2], () => console.log("ready"));
