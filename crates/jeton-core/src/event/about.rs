//! What an event is called, and what it is about: how trail, metrics and counts know one from another.

use super::{Erasure, Event};
use crate::id::{TenantId, TokenId};

impl Event {
    /// The name in the audit trail, in metrics and in webhooks.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::TenantCreated { .. } => "tenant.created",
            Self::TenantStanding { .. } => "tenant.standing",
            Self::ApiDefined { .. } => "api.defined",
            Self::CatalogueSet { .. } => "api.catalogue_set",
            Self::RoutesSet { .. } => "api.routes_set",
            Self::RoleCreated { .. } => "role.created",
            Self::RoleChanged { .. } => "role.changed",
            Self::RoleDeleted { .. } => "role.deleted",
            Self::UserCreated { .. } => "user.created",
            Self::UserRolesSet { .. } => "user.roles_set",
            Self::AppCreated { .. } => "app.created",
            Self::AppChanged { .. } => "app.changed",
            Self::SubjectStanding { .. } => "subject.standing",
            Self::PolicySet { .. } => "policy.set",
            Self::TokenIssued { .. } => "token.issued",
            Self::TokenChanged { .. } => "token.changed",
            Self::TokenSuspended { .. } => "token.suspended",
            Self::TokenResumed { .. } => "token.resumed",
            Self::TokenRotated { .. } => "token.rotated",
            Self::TokenRevoked { .. } => "token.revoked",
            Self::CutOff { .. } => "token.cut_off",
            Self::TokenRehashed { .. } => "token.rehashed",
            Self::Renamed { .. } => "renamed",
            Self::PepperRotated { .. } => "pepper.rotated",
            Self::PepperRetired { .. } => "pepper.retired",
            Self::Ledger(event) => event.name(),
            Self::Erased(Erasure::Words { .. }) => "words.erased",
            Self::Erased(Erasure::Openings { .. }) => "openings.erased",
        }
    }

    /// The token it is about, if it is about one.
    #[must_use]
    pub const fn token(&self) -> Option<TokenId> {
        match self {
            Self::TokenIssued { token, .. }
            | Self::TokenChanged { token, .. }
            | Self::TokenSuspended { token, .. }
            | Self::TokenResumed { token }
            | Self::TokenRotated { token, .. }
            | Self::TokenRevoked { token, .. }
            | Self::TokenRehashed { token, .. } => Some(*token),
            Self::Genesis { .. }
            | Self::TenantCreated { .. }
            | Self::TenantStanding { .. }
            | Self::ApiDefined { .. }
            | Self::CatalogueSet { .. }
            | Self::RoutesSet { .. }
            | Self::RoleCreated { .. }
            | Self::RoleChanged { .. }
            | Self::RoleDeleted { .. }
            | Self::UserCreated { .. }
            | Self::UserRolesSet { .. }
            | Self::AppCreated { .. }
            | Self::AppChanged { .. }
            | Self::SubjectStanding { .. }
            | Self::PolicySet { .. }
            | Self::CutOff { .. }
            | Self::Renamed { .. }
            | Self::PepperRotated { .. }
            | Self::PepperRetired { .. }
            | Self::Ledger(_)
            | Self::Erased(_) => None,
        }
    }

    /// The tokens whose state it changes: the one it is about, or all that it erases.
    pub fn tokens(&self) -> impl Iterator<Item = TokenId> + '_ {
        let erased = if let Self::Erased(Erasure::Openings { tokens, .. }) = self {
            tokens.as_slice()
        } else {
            &[]
        };
        self.token().into_iter().chain(erased.iter().copied())
    }

    /// The raw id of the thing it is about; `tenant` where it is the tenant itself.
    #[must_use]
    pub fn about(&self, tenant: TenantId) -> [u8; 16] {
        match self {
            Self::ApiDefined { api, .. }
            | Self::CatalogueSet { api, .. }
            | Self::RoutesSet { api, .. } => *api.bytes(),
            Self::RoleCreated { role, .. }
            | Self::RoleChanged { role, .. }
            | Self::RoleDeleted { role } => *role.bytes(),
            Self::UserCreated { user, .. } | Self::UserRolesSet { user, .. } => *user.bytes(),
            Self::AppCreated { app, .. } | Self::AppChanged { app, .. } => *app.bytes(),
            Self::SubjectStanding { subject, .. }
            | Self::Erased(Erasure::Words { subject, .. })
            | Self::CutOff {
                subject: Some(subject),
                ..
            } => *subject.bytes(),
            Self::Renamed { about } => *about,
            Self::TokenIssued { token, .. }
            | Self::TokenChanged { token, .. }
            | Self::TokenSuspended { token, .. }
            | Self::TokenResumed { token }
            | Self::TokenRotated { token, .. }
            | Self::TokenRevoked { token, .. }
            | Self::TokenRehashed { token, .. } => *token.bytes(),
            Self::Genesis { .. }
            | Self::TenantCreated { .. }
            | Self::TenantStanding { .. }
            | Self::PolicySet { .. }
            | Self::PepperRotated { .. }
            | Self::PepperRetired { .. }
            | Self::Ledger(_)
            | Self::Erased(Erasure::Openings { .. })
            | Self::CutOff { subject: None, .. } => *tenant.bytes(),
        }
    }
}
