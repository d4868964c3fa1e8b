"""Words of HTTP, event streams and JSON that an input is given: parted by blanks, with the escapes of Python.

A blank itself is ``\\x20``.
"""

from __future__ import annotations


def _read(text: str) -> tuple[bytes, ...]:
    return tuple(word.encode().decode("unicode_escape").encode("latin-1") for word in text.split())


HTTP = _read(r"""
\r\n \n \r \r\n\r\n \n\n \x20 \t : :\x20 , ; = " \x00 \x0b \x0c \x7f \x80 \xff \xe9 GET\x20 POST\x20
HEAD\x20 OPTIONS\x20 PRI\x20 CONNECT\x20 \x20HTTP/1.1\r\n \x20HTTP/1.0\r\n HTTP/1.1\x20200\x20OK\r\n
HTTP/1.1\x20101\x20X\r\n HTTP/1.1\x20204\x20\r\n HTTP/1.1\x20304\x20X\r\n
HTTP/1.1\x20100\x20Continue\r\n\r\n HTTP/2.0 HTTP/1.1 Host:\x20h\r\n host:\r\n Content-Length:\x20
Content-Length:\x205\r\n Content-Length:\x20+5\r\n Content-Length:\x205,\x205\r\n
Transfer-Encoding:\x20chunked\r\n Transfer-Encoding:\x20\x0bchunked\r\n
Transfer-Encoding:\x20gzip,\x20chunked\r\n transfer-encoding: Connection:\x20close\r\n
TE:\x20trailers\r\n Connection:\x20host,\x20content-length\r\n
Connection:\x20upgrade\r\nUpgrade:\x20h2c\r\n Proxy:\x20x\r\n
Connection:\x20upgrade\r\nUpgrade:\x20websocket\r\n Expect:\x20100-continue\r\n Trailer:\x20a\r\n
Content-Type:\x20text/event-stream\r\n Content-Encoding:\x20gzip\r\n http:// https://h/ /../ %2e%2e/
%0d%0a # ? * @ // [::1]:9 X-Forwarded-For:\x201\r\n Via:\x201.1\x20x\r\n
""")
CHUNKS = _read(r"""
0\r\n\r\n 0\r\n \r\n \n \r 5\r\nhello\r\n 1\r\n a f F 0 00 ; ;a=b ;a="b" \x20 \t -1 +5 0x5 5_0
ffffffffffffffff 000000000000005 0000000000000005 7fffffffffffffff a:\x20b\r\n
content-length:\x205\r\n transfer-encoding:\x20chunked\r\n \r\n0\r\n\r\n :\x20x\r\n a\x20:\x20b\r\n
\x20a:\x20b\r\n \x00 \xff GET\x20/\x20HTTP/1.1\r\n\r\n 1\n 1\r\r\n
""")
STREAMS = _read(r"""
data:\x20 data: data event:\x20 event: id:\x201\n id\n retry:\x205\n :\x20ping\n :\n \n\n \r\n\r\n
\r\r \n \r \r\n \n\r\n data:\x20[DONE]\n\n [DONE] data:\x20{}\n\n data:\x20null\n\n data:\x20[]\n\n
\xef\xbb\xbf \xff\xfe \xed\xa0\x80 \\ud83d \\u0000 \x00 event:\x20ping\ndata:\x20{"type":"ping"}\n\n
event:\x20error\n data:\x20{"error":{"message":"m"}}\n\n data:\x20{"error":null}\n\n
event:\x20message_stop\ndata:\x20{"type":"message_stop"}\n\n event:\x20x\n\n
data:\x20{"choices":[]}\n\n { } [ ] , " \\ :null data:\x20{\ndata:\x20}\n\n
data:\x20{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n
data:\x20{"type":"error"}\n\n
""")
JSON = _read(r"""
null true false 0 -1 1 2 7 1e400 1.5 NaN Infinity 9007199254740993 \x22\x22 "x" "\\ud83d"
"\\u0000" "stop" "tool_use" "text" "error" "length" "in_progress" "assistant" "user" "function"
"ping" [] {} [{}] [null] {"a":1} {"type":"text"} {"message":"m"} [[[[]]]] "\xff" "\n" "\\u2028"
"caf\xc3\xa9" "\\/"
""")
JSON += (b"1" * 400, b"[" * 300 + b"]" * 300, b'"' + b"x" * 500 + b'"')
