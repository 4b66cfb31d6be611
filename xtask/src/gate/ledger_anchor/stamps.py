"""OpenTimestamps by the reference implementation, on blocks mined here at the difficulty of a test chain.

    stamps.py stamp FILE PROOF      makes a proof for a file and prints the block's header
    stamps.py check FILE PROOF HEX  verifies a proof against a header; the proof must be spelled as the reference spells it
    stamps.py calendar HEADERS      a calendar on loopback: prints its URL, promises at once, and keeps the promise when it
                                    is asked the second time; the header of its block is appended to the file HEADERS
"""

import hashlib
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from bitcoin.core import CBlock, CBlockHeader, CMutableTransaction, CTxIn, CTxOut, b2x, uint256_from_str
from bitcoin.core.script import OP_RETURN, CScript
from opentimestamps.bitcoin import make_timestamp_from_block
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpAppend, OpSHA256
from opentimestamps.core.serialize import BytesDeserializationContext, BytesSerializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

HEIGHT = 101
BITS = 0x207FFFFF
TARGET = 0x7FFFFF << 8 * (0x20 - 3)
TIME = 1_767_225_600


def transaction(script):
    return CMutableTransaction([CTxIn()], [CTxOut(0, script)])


def mine(message):
    """A block with the message in one of its five transactions."""
    others = [transaction(CScript([OP_RETURN, bytes([n]) * 20])) for n in range(4)]
    transactions = others[:2] + [transaction(CScript([OP_RETURN, message]))] + others[2:]
    root = CBlock(vtx=transactions).calc_merkle_root()
    for nonce in range(1000):
        block = CBlock(4, b"\x11" * 32, root, TIME, BITS, nonce, transactions)
        if uint256_from_str(block.GetHash()) <= TARGET:
            return block
    raise SystemExit("no block was found")


def stamped(message):
    block = mine(message)
    return make_timestamp_from_block(message, block, HEIGHT), b2x(block.get_header().serialize())


def text(thing):
    ctx = BytesSerializationContext()
    thing.serialize(ctx)
    return ctx.getbytes()


def stamp(file, proof):
    with open(file, "rb") as fd:
        detached = DetachedTimestampFile.from_fd(OpSHA256(), fd)
    timestamp, header = stamped(detached.file_digest)
    detached.timestamp.merge(timestamp)
    with open(proof, "wb") as out:
        out.write(text(detached))
    print(header)


def check(file, proof, header):
    with open(proof, "rb") as fd:
        raw = fd.read()
    detached = DetachedTimestampFile.deserialize(BytesDeserializationContext(raw))
    if text(detached) != raw:
        raise SystemExit("the reference spells the proof otherwise")
    with open(file, "rb") as fd:
        if hashlib.sha256(fd.read()).digest() != detached.file_digest:
            raise SystemExit("the proof is for another file")
    block = CBlockHeader.deserialize(bytes.fromhex(header))
    blocks = [(m, a) for m, a in detached.timestamp.all_attestations() if isinstance(a, BitcoinBlockHeaderAttestation)]
    if not blocks:
        raise SystemExit("the proof is in no block")
    for message, attestation in blocks:
        print(attestation.verify_against_blockheader(message, block))


class Calendar(BaseHTTPRequestHandler):
    asked = set()

    def do_POST(self):
        message = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/digest" or len(message) != 32:
            return self.answer(400, b"")
        timestamp = Timestamp(message)
        promised = timestamp.ops.add(OpAppend(os.urandom(8))).ops.add(OpSHA256())
        promised.attestations.add(PendingAttestation(self.server.url))
        self.answer(200, text(timestamp))

    def do_GET(self):
        message = bytes.fromhex(self.path.removeprefix("/timestamp/"))
        if message not in self.asked:
            self.asked.add(message)
            return self.answer(404, b"Pending confirmation in Bitcoin blockchain")
        timestamp, header = stamped(message)
        with open(self.server.headers, "a") as out:
            out.write(f"{HEIGHT}:{header}\n")
        self.answer(200, text(timestamp))

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def calendar(headers):
    server = HTTPServer(("127.0.0.1", 0), Calendar)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.headers = headers
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    {"stamp": stamp, "check": check, "calendar": calendar}[sys.argv[1]](*sys.argv[2:])
