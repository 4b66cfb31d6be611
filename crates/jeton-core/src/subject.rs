//! To whom a token belongs: a user, or an application that stands for no person.

use minicbor::{Decode, Encode};

use crate::{
    id::{AppId, TenantId, UserId},
    permit::Permit,
};

/// A user or an application.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub enum SubjectId {
    /// A person: has roles.
    #[n(0)]
    User(#[n(0)] UserId),
    /// A program: has rights of its own and a sponsor.
    #[n(1)]
    App(#[n(0)] AppId),
}

impl SubjectId {
    /// The raw id.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        match self {
            Self::User(id) => id.bytes(),
            Self::App(id) => id.bytes(),
        }
    }

    /// `user` or `application`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::App(_) => "application",
        }
    }

    /// Reads either id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.parse()
            .map(Self::User)
            .or_else(|_| text.parse().map(Self::App))
            .ok()
    }
}

impl core::fmt::Display for SubjectId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::App(id) => id.fmt(f),
        }
    }
}

/// Whether a subject (or a tenant) takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    /// It does.
    #[n(0)]
    Active,
    /// Not until it is resumed.
    #[n(1)]
    Suspended,
    /// Never again.
    #[n(2)]
    Deleted,
}

/// What the rules know of one subject.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Subject {
    /// Its name.
    #[n(0)]
    pub id: SubjectId,
    /// Whose user or application it is.
    #[n(1)]
    pub tenant: TenantId,
    /// Whether it takes part.
    #[n(2)]
    pub standing: Standing,
    /// Its tokens issued below this ledger index are dead.
    #[n(3)]
    pub cut_off: u64,
    /// A user's roles, by slot in the directory, ascending.
    #[n(4)]
    pub roles: Vec<u32>,
    /// An application's own rights.
    #[n(5)]
    pub permit: Option<Permit>,
    /// The person who answers for an application.
    #[n(6)]
    pub sponsor: Option<UserId>,
    /// The ledger index of the last event that carried its name and other erasable words.
    #[n(7)]
    pub named_at: Option<u64>,
}
