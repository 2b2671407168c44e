#!/usr/bin/env python3
"""Reads a recorded session of braid/1, as docs/WIRE.md has it, and says what was called.

    decode.py CLIENT SERVER

CLIENT and SERVER are files with all bytes that either side has sent. It prints a line of JSON for each
call, in the order of the calls, and ends with 1 and a reason where the bytes are not as the page says.
It was written from the page alone and shares nothing with the implementation.
"""

import json
import struct
import sys
import zlib

MAGIC = b"\xc7mic"
HELLO, CALL, REPLY, ERROR, MESSAGE, END, CANCEL, CREDIT, PING, GOAWAY, PIECE = range(1, 12)
NAMES, DEADLINE, METADATA, BODY, LAST, STREAM, MORE, PACKED = 1, 2, 4, 8, 16, 32, 64, 128
TRAILERS = 32
UNPROCESSED, GRPC, STATUS = 1, 2, 8
ANSWER = 1
FLAGS = {
    CALL: 0xFF,
    REPLY: METADATA | BODY | TRAILERS | MORE | PACKED,
    ERROR: UNPROCESSED | GRPC | METADATA | STATUS,
    MESSAGE: MORE | PACKED,
    END: TRAILERS,
    PING: ANSWER,
    PIECE: MORE,
}
OF_CLIENT = {HELLO, CALL, MESSAGE, END, CANCEL, CREDIT, PING, GOAWAY, PIECE}
OF_SERVER = {HELLO, REPLY, ERROR, MESSAGE, END, CREDIT, PING, GOAWAY, PIECE}
NUMBERS = "calls message window metadata pairs bytes piece entries entry_bytes encodings".split()
ROUTES, ROUTE_BYTES, NO_ROUTE, NAME = 512, 64 << 10, 0xFFFF, 1024


class Wrong(Exception):
    """The bytes are not as the page says."""


def need(condition, words):
    if not condition:
        raise Wrong(words)


class Fields:
    """The fields of a payload, in their order."""

    def __init__(self, payload):
        self.payload, self.at = payload, 0

    def bytes(self, length):
        need(self.at + length <= len(self.payload), "the payload ends within a field")
        self.at += length
        return self.payload[self.at - length : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0]

    def text(self, length):
        return self.bytes(length).decode("utf-8")

    def short(self):
        return self.text(self.number("H"))

    def varint(self):
        number = 0
        for shift in range(0, 35, 7):
            byte = self.number("B")
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                need(number < 1 << 32, "a varint of more than 32 bits")
                return number
        raise Wrong("a varint of more than 32 bits")

    def rest(self):
        return self.bytes(len(self.payload) - self.at)

    def end(self):
        need(self.at == len(self.payload), "the payload goes on after its last field")


def frames(data):
    """Cuts what a side has sent into frames."""
    need(data[:4] == MAGIC, "not the magic")
    at = 4
    while at < len(data):
        need(at + 16 <= len(data), "it ends within a head")
        length, kind, flags, route, index, generation = struct.unpack_from("<IBBHII", data, at)
        at += 16
        need(HELLO <= kind <= PIECE, f"no kind {kind}")
        need(not flags & ~FLAGS.get(kind, 0), f"no flags {flags:#x} of kind {kind}")
        need(at + length <= len(data), "it ends within a payload")
        yield kind, flags, route, (index, generation), Fields(data[at : at + length])
        at += length


class Side:
    """One direction of a connection."""

    def __init__(self, data, kinds, calls):
        self.frames, self.kinds, self.calls = frames(data), kinds, calls
        self.entries, self.entry_size = [], 0
        self.unfinished = {}
        kind, _, _, _, fields = next(self.frames)
        need(kind == HELLO and fields.number("H") == 1, "HELLO of version 1 is missing")
        self.hello = {name: fields.number("I") for name in NUMBERS}
        self.theirs = None

    def block(self, fields):
        """A metadata block."""
        count, size, pairs = fields.varint(), 0, {}
        need(count <= self.theirs["pairs"], "more pairs than are taken")
        for _ in range(count):
            how = fields.varint()
            if how < 2:
                key, value = fields.text(fields.varint()), fields.text(fields.varint())
                if how == 1:
                    self.entries.append((key, value))
                    self.entry_size += 6 + len(key.encode()) + len(value.encode())
                    need(len(self.entries) <= self.theirs["entries"], "more entries than are remembered")
                    need(self.entry_size <= self.theirs["entry_bytes"], "longer entries than are remembered")
            else:
                entry, own = divmod(how - 2, 2)
                need(entry < len(self.entries), "an entry that there is not")
                key, value = self.entries[entry]
                if own:
                    value = fields.text(fields.varint())
            size += 6 + len(key.encode()) + len(value.encode())
            pairs[key.lower()] = (key, value)
        need(size <= self.theirs["metadata"], "more metadata than is taken")
        return [list(pair) for pair in pairs.values()]

    def message(self, ident, flags, fields, to):
        """A message, or its first piece; `to` takes it when all of it is there."""
        need(ident not in self.unfinished, "a message within a message")
        if not flags & MORE:
            body = fields.rest()
            need(len(body) <= self.theirs["piece"], "more than a piece in a frame")
            return to(self.unpack(flags, body))
        total = fields.number("I")
        body = fields.rest()
        need(0 < len(body) <= self.theirs["piece"] and len(body) < total, "a first piece that is none")
        self.unfinished[ident] = [total, flags, body, to]
        together = sum(total for total, *_ in self.unfinished.values())
        need(together <= self.theirs["message"], "more unfinished messages than are taken")

    def piece(self, ident, flags, fields):
        body = fields.rest()
        need(ident in self.unfinished, "a piece of no message")
        need(0 < len(body) <= self.theirs["piece"], "a piece that is none")
        total, first, so_far, to = self.unfinished.pop(ident)
        so_far += body
        need((len(so_far) < total) == bool(flags & MORE) and len(so_far) <= total, "a message of another length")
        if flags & MORE:
            self.unfinished[ident] = [total, first, so_far, to]
        else:
            to(self.unpack(first, so_far))

    def unpack(self, flags, body):
        if flags & PACKED:
            encoding, length = struct.unpack_from("<BI", body)
            need(encoding == 1 and self.theirs["encodings"] & 1, "an encoding that was not agreed on")
            body = zlib.decompress(body[5:])
            need(len(body) == length, "a compressed message of another length")
        need(len(body) <= self.theirs["message"], "a longer message than is taken")
        return body


def shown(message):
    """Short ones as they are, long ones by length and checksum."""
    if len(message) <= 32:
        return message.hex()
    return f"{len(message)} bytes, crc {zlib.crc32(message):08x}"


class Session:
    def __init__(self, client, server):
        self.calls, self.order, self.last = {}, [], {}
        self.client = Side(client, OF_CLIENT, self)
        self.server = Side(server, OF_SERVER, self)
        self.client.theirs, self.server.theirs = self.server.hello, self.client.hello
        self.routes, self.route_size = [], 0
        for side in (self.client, self.server):
            for kind, flags, route, ident, fields in side.frames:
                need(kind in side.kinds, f"kind {kind} is not sent by this side")
                self.frame(side, kind, flags, route, ident, fields)

    def frame(self, side, kind, flags, route, ident, fields):
        if kind == HELLO:
            raise Wrong("a second HELLO")
        if kind == PING:
            fields.number("Q")
        elif kind == GOAWAY:
            fields.number("Q")
            need(fields.number("H") == 0, "the peer broke the protocol: " + fields.rest().decode())
            fields.rest().decode()
        elif kind == CALL:
            self.call(flags, route, ident, fields)
        else:
            need(ident in self.calls, f"call {ident} was never made")
            self.answer(side, kind, flags, ident, self.calls[ident], fields)
        fields.end()

    def call(self, flags, route, ident, fields):
        client = self.client
        index, generation = ident
        need(index < client.theirs["calls"], "an index over the number of calls")
        before = self.last.get(index)
        need(before is None or 0 < (generation - before) % (1 << 32) < 1 << 31, "an id that was used")
        self.last[index] = generation
        if flags & NAMES:
            names = [fields.short() for _ in range(3)]
            need(all(len(name.encode()) <= NAME for name in names), "a name that is too long")
            if route != NO_ROUTE:
                need(route == len(self.routes) < ROUTES, "a route out of turn")
                self.routes.append(names)
                self.route_size += sum(len(name.encode()) for name in names)
                need(self.route_size <= ROUTE_BYTES, "more bytes in routes than there may be")
        else:
            need(route < len(self.routes), "a route that was not named")
            names = self.routes[route]
        path, content_type, service = names
        call = {
            "id": f"{index}.{generation}",
            "path": path,
            "content_type": content_type,
            "service": service,
            "stream": bool(flags & STREAM),
        }
        if flags & DEADLINE:
            left = fields.number("I")
            need(left >> 30 < 3, "a unit of time that there is not")
            call["microseconds"] = (left & (1 << 30) - 1) * 1000 ** (left >> 30)
        if flags & METADATA:
            call["metadata"] = client.block(fields)
        call |= {"sent": [], "received": [], "sent_bytes": 0, "received_bytes": 0, "credit": [0, 0], "given": [0, 0]}
        call["ended"] = bool(flags & LAST)
        need(call["stream"] or flags & LAST, "a unary call without its end")
        self.calls[ident] = call
        self.order.append(call)
        if flags & BODY:
            client.message(ident, flags, fields, lambda message: self.said(call, "sent", message))
        else:
            need(not flags & (MORE | PACKED), "MORE or PACKED without a message")

    def said(self, call, direction, message):
        call[direction].append(shown(message))
        call[direction + "_bytes"] += len(message)

    def answer(self, side, kind, flags, ident, call, fields):
        direction = "sent" if side is self.client else "received"
        over = "cancelled" in call if side is self.client else "end" in call
        need(not over, "a frame of a call that is over")
        if kind in (MESSAGE, PIECE):
            if kind == PIECE:
                return side.piece(ident, flags, fields)
            need(call["stream"], "a stream's message of a unary call")
            need(direction == "received" or not call["ended"], "a message after the end")
            need(direction == "sent" or "opened" in call, "a message before the opening")
            return side.message(ident, flags, fields, lambda message: self.said(call, direction, message))
        if kind == CREDIT:
            need(call["stream"], "credit of a unary call")
            given = call["given" if side is self.client else "credit"]
            given[0] += fields.number("I")
            given[1] += fields.number("I")
            return
        if kind == CANCEL:
            call["cancelled"] = True
            side.unfinished.pop(ident, None)
            return
        if kind == ERROR:
            side.unfinished.pop(ident, None)
            return self.error(side, flags, call, fields)
        need(ident not in side.unfinished, "an end within a message")
        if kind == END and side is self.client:
            need(not flags and not call["ended"], "two ends")
            call["ended"] = True
        elif kind == END:
            call["end"] = "END"
            if flags & TRAILERS:
                call["trailers"] = side.block(fields)
        elif kind == REPLY:
            need("opened" not in call, "a second opening")
            if flags & METADATA:
                call["reply_metadata"] = side.block(fields)
            if flags & TRAILERS:
                call["trailers"] = side.block(fields)
            need(bool(flags & BODY) != call["stream"], "a reply of the other kind")
            if call["stream"]:
                call["opened"] = True
                need(not flags & (MORE | PACKED), "MORE or PACKED without a message")
                return

            def done(message):
                self.said(call, "received", message)
                call["end"] = "REPLY"

            side.message(ident, flags, fields, done)

    def error(self, side, flags, call, fields):
        error = {"code": fields.number("i")}
        if flags & GRPC:
            error["grpc"] = fields.number("i")
        error["id"], error["detail"] = fields.short(), fields.short()
        if flags & STATUS:
            error["status"] = fields.short()
        if flags & METADATA:
            error["metadata"] = side.block(fields)
        error["details"] = [[fields.short(), fields.bytes(fields.number("I")).hex()] for _ in range(fields.number("H"))]
        error["unprocessed"] = bool(flags & UNPROCESSED)
        call["end"], call["error"] = "ERROR", error

    def check(self):
        """What only shows at the end: that credit was kept to."""
        for call in self.order:
            for direction, reader, given in (
                ("sent", self.server.hello, call["credit"]),
                ("received", self.client.hello, call["given"]),
            ):
                messages, size = len(call[direction]), call[direction + "_bytes"]
                if call["stream"] and messages:
                    need(messages <= reader["window"] + given[0], "messages without credit")
                    last = 64 << 20
                    need(size - last < reader["bytes"] + given[1], "bytes without credit")
            need("end" in call or "cancelled" in call or call["stream"], "a call without an end")


def main():
    _, client, server = sys.argv
    try:
        with open(client, "rb") as sent, open(server, "rb") as received:
            session = Session(sent.read(), received.read())
        session.check()
    except (Wrong, UnicodeDecodeError, zlib.error, StopIteration, struct.error) as wrong:
        sys.exit(f"not braid/1: {wrong!r}")
    for call in session.order:
        for private in ("credit", "given", "opened"):
            call.pop(private, None)
        print(json.dumps(call, ensure_ascii=False))


if __name__ == "__main__":
    main()
