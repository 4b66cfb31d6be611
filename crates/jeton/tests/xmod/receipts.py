"""Verifies proofs of an export with scitt-cose, which nobody here wrote: RFC 9162 inclusion and consistency, and a COSE receipt.

receipts.py DIR: reads cose.json (what jeton proved, in hexadecimal) and prints "ok N" as its last line.
"""

import json
import sys

from scitt_cose import merkle
from scitt_cose.receipt import verify_receipt

with open(sys.argv[1] + "/cose.json", encoding="utf-8") as file:
    told = json.load(file)

for proof in told["inclusion"]:
    held = merkle.verify_inclusion(proof["entry"], proof["index"], told["size"], proof["path"], told["root"])
    assert held, f"inclusion of {proof['index']}"
    other = proof["entry"][:-2] + ("00" if proof["entry"][-2:] != "00" else "01")
    assert not merkle.verify_inclusion(other, proof["index"], told["size"], proof["path"], told["root"])
for proof in told["consistency"]:
    held = merkle.verify_consistency(proof["root"], told["root"], proof["old"], told["size"], proof["path"])
    assert held, f"consistency from {proof['old']}"
for receipt in told["receipts"]:
    found = verify_receipt(bytes.fromhex(receipt["cose"]), leaf_entry_hex=receipt["entry"], log_public_key_pem=told["pem"])
    assert found.ok, found.errors
    assert (found.tree_size, found.root) == (told["size"], told["root"])
    found = verify_receipt(bytes.fromhex(receipt["cose"]), leaf_entry_hex="00" + receipt["entry"][2:], log_public_key_pem=told["pem"])
    assert not found.ok
print("ok", told["size"])
