// MD5 against RFC 1321's test suite.
#include "bpf/lib/md5.h"

#include <gtest/gtest.h>

#include <string>

namespace {

std::string digest(const std::string& text, std::size_t piece) {
    sl_md5 md5;
    sl_md5_begin(&md5);
    for (std::size_t at = 0; at < text.size(); at += piece) {
        const std::string part = text.substr(at, piece);
        sl_md5_add(&md5, part.data(), part.size());
    }
    sl_md5_end(&md5);
    std::string hex;
    for (int i = 0; i < 16; ++i) {
        const unsigned octet = (md5.state[i / 4] >> (8 * (i % 4))) & 0xff;
        hex += "0123456789abcdef"[octet >> 4];
        hex += "0123456789abcdef"[octet & 15];
    }
    EXPECT_EQ(sl_md5_head(&md5), std::stoul(hex.substr(0, 8), nullptr, 16));
    return hex;
}

struct Vector {
    const char* text;
    const char* digest;
};

TEST(Md5, Rfc1321) {
    const Vector vectors[] = {
        {"", "d41d8cd98f00b204e9800998ecf8427e"},
        {"a", "0cc175b9c0f1b6a831c399e269772661"},
        {"abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"message digest", "f96b697d7cb7938d525a2f31aaf161d0"},
        {"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "57edf4a22be3c955ac49da2e2107b67a"}};
    for (const Vector& vector : vectors) {
        EXPECT_EQ(digest(vector.text, 1000), vector.digest) << vector.text;
        EXPECT_EQ(digest(vector.text, 7), vector.digest) << vector.text;
    }
}

// Lengths around a block's end: padding in the same block or in one more.
TEST(Md5, DoesNotDependOnThePieces) {
    for (std::size_t size = 50; size < 140; ++size) {
        const std::string text(size, 'x');
        EXPECT_EQ(digest(text, 1), digest(text, size)) << size;
    }
}

}  // namespace
