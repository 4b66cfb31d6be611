//! What can be done with tokens: asking about them, issuing them, ending them.

use axum::routing::{get, patch, post};

use super::{Operation as O, Row, row};
use crate::http::{
    caller, check, erase, holder,
    tokens::{
        SecretView, TokenView,
        change::{self, ChangeView},
        cut_off::{self, CutOffDone, CutOffView},
        find::{self, ListQuery, PossessionView},
        issue::{self, IssueView},
        revoke::{self, ReasonView},
        rotate::{self, RotateView},
    },
    view::Page,
};

#[expect(clippy::too_many_lines, reason = "a table: one row for each operation")]
pub(super) fn rows() -> Vec<Row> {
    vec![
        (
            O::new(
                "post",
                "/v1/check",
                "check",
                "Ask whether a token may do something.",
            )
            .needs::<caller::Check>()
            .takes::<check::CheckView<'static>>()
            .gives::<check::VerdictView<'static>>(200),
            None,
        ),
        (
            O::new(
                "post",
                "/v1/check/batch",
                "checkBatch",
                "Ask about many tokens.",
            )
            .needs::<caller::Check>()
            .takes::<check::BatchView<'static>>()
            .gives::<check::VerdictsView<'static>>(200),
            None,
        ),
        row(
            O::new(
                "post",
                "/v1/tokens",
                "createToken",
                "Issue a token. The secret is shown once.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<IssueView>()
            .gives::<SecretView>(201)
            .conflicts(),
            post(issue::create),
        ),
        row(
            O::new("get", "/v1/tokens", "listTokens", "List tokens.")
                .needs::<caller::TokensRead>()
                .asks::<ListQuery>()
                .gives::<Page<TokenView>>(200),
            get(find::list),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/find",
                "findToken",
                "Find a token by its text.",
            )
            .needs::<caller::TokensRead>()
            .takes::<PossessionView>()
            .gives::<TokenView>(200),
            post(find::by_text),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/cut-off",
                "cutOff",
                "End all tokens of a subject, or of the tenant, issued before now.",
            )
            .needs::<caller::TokensCutOff>()
            .takes::<CutOffView>()
            .gives::<CutOffDone>(200),
            post(cut_off::cut_off),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/erase",
                "eraseTokens",
                "Erase tokens that have been dead for a day: nobody knows them any more.",
            )
            .needs::<caller::TokensErase>()
            .takes::<erase::EraseView>()
            .gives::<erase::ErasedView>(200)
            .conflicts(),
            post(erase::tokens),
        ),
        row(
            O::new("get", "/v1/tokens/{id}", "getToken", "Show a token.")
                .needs::<caller::TokensRead>()
                .gives::<TokenView>(200),
            get(find::get),
        ),
        row(
            O::new(
                "patch",
                "/v1/tokens/{id}",
                "changeToken",
                "Change a token's rights, conditions, end or limit.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ChangeView>()
            .gives::<TokenView>(200)
            .conflicts(),
            patch(change::patch),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/rotate",
                "rotateToken",
                "Replace a token's secret; the old one stays good for the overlap.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<RotateView>()
            .gives::<SecretView>(200)
            .conflicts(),
            post(rotate::rotate),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/suspend",
                "suspendToken",
                "Stop a token until it is resumed.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200)
            .conflicts(),
            post(revoke::suspend),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/resume",
                "resumeToken",
                "Let a suspended token work again.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200)
            .conflicts(),
            post(revoke::resume),
        ),
        row(
            O::new(
                "post",
                "/v1/tokens/{id}/revoke",
                "revokeToken",
                "End a token, for good.",
            )
            .needs::<caller::TokensRevoke>()
            .takes::<ReasonView>()
            .gives::<TokenView>(200),
            post(revoke::revoke),
        ),
        row(
            O::new(
                "get",
                "/v1/whoami",
                "whoami",
                "Tell a holder about its token.",
            )
            .holder()
            .gives::<holder::WhoamiView>(200),
            get(holder::whoami),
        ),
        row(
            O::new(
                "post",
                "/v1/whoami/rotate",
                "rotateOwnToken",
                "Replace the secret of the token that calls.",
            )
            .needs::<caller::TokensWrite>()
            .takes::<RotateView>()
            .gives::<SecretView>(200)
            .conflicts(),
            post(rotate::rotate_own),
        ),
        row(
            O::new(
                "post",
                "/v1/revoke",
                "revokeShown",
                "End the token whose text is shown. The answer is the same whatever it was.",
            )
            .takes::<PossessionView>()
            .gives::<holder::RevokedView>(200),
            post(holder::revoke_shown),
        ),
    ]
}
