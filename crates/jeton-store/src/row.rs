//! The projection: what replay gives, as rows for lists and search. Made here, compared by `fsck`, read by no decision.

use jeton_core::{
    directory::{Directory, Entity},
    event::Event,
    id::{TenantId, TokenId},
    token::record::{State, TokenRecord},
};

/// A row of the projection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Row {
    /// A token.
    Token(TokenRow),
    /// Anything else that has an id.
    Entity(Entity),
    /// The event has none (the genesis).
    None,
}

/// A token's row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenRow {
    /// Whose API it is for.
    pub tenant: TenantId,
    /// Its name.
    pub id: TokenId,
    /// The raw id of its owner.
    pub subject: [u8; 16],
    /// The number of its class.
    pub class: u8,
    /// 0 active, 1 suspended, 2 revoked.
    pub state: u8,
    /// The second at which it ends.
    pub expires: Option<u32>,
    /// Canonical CBOR of (terms, issue index, generation, end of overlap, reason, second of revocation).
    pub body: Vec<u8>,
}

impl TokenRow {
    /// The row of a token.
    #[must_use]
    pub fn of(token: &TokenRecord) -> Self {
        let (state, reason, ended) = match token.state {
            State::Active => (0, None, None),
            State::Suspended { reason } => (1, Some(reason), None),
            State::Revoked { at, reason } => (2, Some(reason), Some(at)),
        };
        let overlap = token.overlap_until;
        let told = (
            &*token.terms,
            token.issued,
            token.generation,
            overlap,
            reason,
            ended,
        );
        let mut body = Vec::with_capacity(160);
        // Encoding into a vector has no way to fail.
        let encoded = minicbor::encode(told, &mut body);
        debug_assert!(encoded.is_ok(), "encoding into memory");
        Self {
            tenant: token.tenant,
            id: token.id,
            subject: *token.subject.bytes(),
            class: token.class.number(),
            state,
            expires: token.expires.map(jeton_core::time::Time::seconds),
            body,
        }
    }
}

impl Row {
    /// The row that an event changes, after it was applied: of its token (as it is now), or of its thing.
    #[must_use]
    pub fn after(
        tenant: TenantId,
        event: &Event,
        token: Option<&TokenRecord>,
        directory: &Directory,
    ) -> Self {
        match token {
            Some(token) => Self::Token(TokenRow::of(token)),
            None => directory
                .entity(tenant, event)
                .map_or(Self::None, Self::Entity),
        }
    }
}
