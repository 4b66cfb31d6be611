//! A log as somebody else keeps it: read over HTTP or from a store, verified whole, and written as the static files of
//! c2sp.org/tlog-tiles.
//!
//! Nothing that comes from the log's server is believed but what a checkpoint explains that the policy accepts: entries are
//! hashed into a tree of our own, tiles are made of that tree and not copied, and a checkpoint takes its place last.
//!
//! | file | what |
//! |---|---|
//! | `source` | [`Source`]: where a log is read from |
//! | `follow` | [`Seen`], [`Shown`]: from one checkpoint to the next, and what a log must not do between them |
//! | `dir` | [`Dir`]: the files of a mirror |
//! | `pull` | [`Pull`]: one round of a mirror |
//! | `openings` | the openings beside the log, which no stranger may read |
//! | `read` | [`Reader`]: a mirror as a way back for an authority that lost its end |

mod dir;
mod fault;
mod follow;
mod openings;
mod pull;
mod read;
mod source;

pub use dir::Dir;
pub use fault::{Finding, MirrorError};
pub use follow::{Grown, Seen, Shown, begin, edge, explain, grow, look};
pub use pull::{Pull, Pulled};
pub use read::{Events, Kept, Reader};
pub use source::{Source, StoreSource, split_url};
