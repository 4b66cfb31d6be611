//! A C2SP transparency log, as values: the tree, its tiles, its proofs, its signed heads.
//!
//! The floor knows bytes and their order, and nothing of tokens. It has no file, socket, clock,
//! randomness, thread or log line: what is read comes in as bytes, what is to be written goes out as
//! bytes, and the only secret (a signing seed) comes in as a value. So the same code serves the
//! authority that writes the log, the replica that follows it, the witness that cosigns it and the
//! customer who checks a receipt offline.
//!
//! Every format is the published one, byte for byte, so that tools which nobody here wrote can
//! verify a jeton log: RFC 6962 §2.1 (the tree), c2sp.org/tlog-tiles, c2sp.org/signed-note,
//! c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature, c2sp.org/tlog-policy, c2sp.org/tlog-proof,
//! c2sp.org/tlog-witness.
//!
//! # Reading order
//!
//! | file | what |
//! |---|---|
//! | `hash` | [`struct@Hash`], [`leaf_hash`], [`node_hash`]: the two hashes everything is made of |
//! | `merkle` | [`Frontier`], the right edge of a growing tree, and its root |
//! | `prove` | making and verifying inclusion and consistency proofs |
//! | `tile` | [`TileId`], [`BundleId`], [`TilePath`], [`TileSpan`]: how a tree is cut into files |
//! | `edge` | [`TileBuilder`]: the writer's incremental side of the tiles |
//! | `bundle` | the entries themselves, 256 to a file |
//! | `key` | [`VerifierKey`], [`SigningKey`]: Ed25519 under a name |
//! | `note` | [`Note`], text with signatures, and [`VerifiedNote`], text that may be believed |
//! | `checkpoint` | [`Checkpoint`], a signed tree head, and [`VerifiedCheckpoint`] |
//! | `cosignature` | [`WitnessKey`], [`CosigningKey`], [`Cosignature`]: who else has seen a head |
//! | `policy` | [`Policy`]: which logs are believed and how many witnesses are asked for |
//! | `receipt` | [`Receipt`]: an entry's path and a witnessed head in one text |
//! | `add_checkpoint` | [`AddCheckpoint`]: what a log sends to a witness |
//! | `witness` | [`WitnessRefusal`]: the witness's rule, which is its memory's keeper |
//!
//! # What is believed
//!
//! Parsing proves only shape. [`VerifiedNote`], [`VerifiedCheckpoint`], [`Cosignature`],
//! [`WitnessedCheckpoint`] and [`VerifiedReceipt`] have private fields and are made only by a check; a root hash is worth as much as the checkpoint it came from,
//! and a leaf or a tile as much as the proof that ties it to that root.

#![forbid(unsafe_code)]

mod add_checkpoint;
mod base64;
mod bundle;
mod checkpoint;
mod cosignature;
mod edge;
mod hash;
mod key;
mod merkle;
mod note;
mod policy;
mod prove;
mod receipt;
mod tile;
mod witness;

pub use add_checkpoint::{
    ADD_CHECKPOINT_BYTES_MAX, ADD_CHECKPOINT_HASHES_MAX, AddCheckpoint, AddCheckpointError,
};
pub use bundle::{BundleError, ENTRY_BYTES_MAX, decode_bundle, encode_bundle, push_entry};
pub use checkpoint::{Checkpoint, CheckpointError, VerifiedCheckpoint};
pub use cosignature::{COSIGNATURE_TIME_S_MAX, CosignError, Cosignature, CosigningKey, WitnessKey};
pub use edge::{EdgeError, Tile, TileBuilder};
pub use hash::{HASH_BYTES, Hash, leaf_hash, node_hash};
pub use key::{KEY_NAME_BYTES_MAX, KeyError, KeyId, SEED_BYTES, SigningKey, VerifierKey};
pub use merkle::{Frontier, FrontierError, TREE_SIZE_MAX};
pub use note::{
    NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, Note, NoteError, Signature, Signer, VerifiedNote,
};
pub use policy::{
    LineFault, POLICY_BYTES_MAX, POLICY_ITEMS_MAX, POLICY_NAME_BYTES_MAX, POLICY_URL_BYTES_MAX,
    Policy, PolicyError, PolicyLog, PolicyWitness, SAFE_QUORUMS, Severity, Strength, Warning,
    WitnessedCheckpoint, safe_quorum,
};
pub use prove::{
    PATH_HASHES_MAX, ProofError, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion,
};
pub use receipt::{
    RECEIPT_BYTES_MAX, RECEIPT_EXTRA_BYTES_MAX, Receipt, ReceiptError, VerifiedReceipt,
};
pub use tile::{
    BundleId, TILE_BYTES, TILE_LEVEL_MAX, TILE_PATH_BYTES_MAX, TILE_WIDTH, TileError, TileId,
    TilePath, TileSpan,
};
pub use witness::WitnessRefusal;
