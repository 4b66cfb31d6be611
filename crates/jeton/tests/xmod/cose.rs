//! Our proofs in the words of COSE receipts (RFC 9942), for scitt-cose.

use std::{path::Path, process::Command};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::{BASE64, HEXLOWER};
use jeton_store::{Reader, tree::Tree};
use jeton_tlog::{Frontier, Hash, leaf_hash};
use minicbor::Encoder;
use serde_json::{Value, json};

/// What the program says of our proofs of a tree, or that it is not there.
pub(super) fn verified(reader: &mut dyn Reader, size: u64, dir: &Path) -> Value {
    let venv = jeton::capability::environment("JETON_TEST_VENV")
        .filter(|_| !super::is_missing("scitt-cose"));
    let Some(venv) = venv else {
        return json!("skipped");
    };
    let told = told(reader, size);
    std::fs::write(dir.join("cose.json"), told.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xmod/receipts.py");
    let mut python = Command::new(Path::new(&venv).join("python3"));
    let done = python.arg(program).arg(dir).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    String::from_utf8(said).unwrap().trim().into()
}

fn hex(path: &[Hash]) -> Vec<String> {
    path.iter()
        .map(|hash| HEXLOWER.encode(hash.as_bytes()))
        .collect()
}

fn told(reader: &mut dyn Reader, size: u64) -> Value {
    let leaves = reader.leaves(0, u32::try_from(size).unwrap()).unwrap();
    let root = |size: usize| {
        let mut tree = Frontier::new();
        leaves[..size]
            .iter()
            .for_each(|leaf| tree.push(leaf_hash(leaf)));
        tree.root()
    };
    let whole = root(leaves.len());
    // The log's own key, in the shape that COSE wants.
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut tree = Tree::new(reader, size);
    let mut inclusion = Vec::new();
    let mut receipts = Vec::new();
    let mut consistency = Vec::new();
    for index in [0, 1, 100, 255, 256] {
        let path = tree.inclusion(index).unwrap();
        let entry = HEXLOWER.encode(&leaves[usize::try_from(index).unwrap()]);
        let cose = HEXLOWER.encode(&receipt(&key, (index, size), &path, &whole));
        receipts.push(json!({"entry": entry, "cose": cose}));
        inclusion.push(json!({"entry": entry, "index": index, "path": hex(&path)}));
        let old = index + 1;
        let path = tree.consistency(old).unwrap();
        let then = HEXLOWER.encode(root(usize::try_from(old).unwrap()).as_bytes());
        consistency.push(json!({"old": old, "root": then, "path": hex(&path)}));
    }
    json!({
        "size": size, "root": HEXLOWER.encode(whole.as_bytes()), "pem": pem(&key),
        "inclusion": inclusion, "consistency": consistency, "receipts": receipts,
    })
}

/// A COSE_Sign1 whose payload is the root, left out, and whose unprotected header has the proof (RFC 9942 §5.2).
fn receipt(key: &Ed25519KeyPair, (index, size): (u64, u64), path: &[Hash], root: &Hash) -> Vec<u8> {
    let mut proof = Encoder::new(Vec::new());
    proof
        .array(3)
        .unwrap()
        .u64(size)
        .unwrap()
        .u64(index)
        .unwrap();
    proof.array(u64::try_from(path.len()).unwrap()).unwrap();
    for hash in path {
        proof.bytes(hash.as_bytes()).unwrap();
    }
    let mut protected = Encoder::new(Vec::new());
    protected
        .map(2)
        .unwrap()
        .u16(1)
        .unwrap()
        .i8(-8)
        .unwrap()
        .u16(395)
        .unwrap()
        .u8(1)
        .unwrap();
    let protected = protected.into_writer();
    let mut signed = Encoder::new(Vec::new());
    signed
        .array(4)
        .unwrap()
        .str("Signature1")
        .unwrap()
        .bytes(&protected)
        .unwrap();
    signed.bytes(&[]).unwrap().bytes(root.as_bytes()).unwrap();
    let signature = key.sign(&signed.into_writer());
    let mut out = Encoder::new(Vec::new());
    out.tag(minicbor::data::Tag::new(18))
        .unwrap()
        .array(4)
        .unwrap()
        .bytes(&protected)
        .unwrap();
    out.map(1)
        .unwrap()
        .u16(396)
        .unwrap()
        .map(1)
        .unwrap()
        .i8(-1)
        .unwrap();
    out.array(1).unwrap().bytes(&proof.into_writer()).unwrap();
    out.null().unwrap().bytes(signature.as_ref()).unwrap();
    out.into_writer()
}

/// A public key as SubjectPublicKeyInfo (RFC 8410 §4).
fn pem(key: &Ed25519KeyPair) -> String {
    let head = HEXLOWER.decode(b"302a300506032b6570032100").unwrap();
    let der = [&head, key.public_key().as_ref()].concat();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64.encode(&der)
    )
}
