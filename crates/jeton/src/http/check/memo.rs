//! What a connection remembers from one question to the next.

use jeton_core::{
    check::question::Question,
    directory::Directory,
    id::{ApiId, TenantId},
    scope::ScopeSet,
    time::Time,
    token::digest::Digest,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{
    question::{asking, question},
    view::CheckView,
};
use crate::http::{error::Problem, view::http_date};

/// What a connection remembers from one question to the next: never a verdict, only what would be worked out again.
#[derive(Default)]
pub struct Memo {
    asker: Mutex<Option<Asked>>,
    meant: Mutex<Option<Meant>>,
    /// `Date`, with the second that it tells.
    date: Mutex<(u32, String)>,
}

/// The credential that asked last, with its digest: its state and rights are judged each time.
struct Asked {
    text: Zeroizing<String>,
    tenant: TenantId,
    digest: Digest,
    /// Which setting of the peppers the digest was computed under.
    peppers: u64,
}

/// What the last question's names meant, in the directory of that size.
struct Meant {
    size: u64,
    tenant: TenantId,
    names: (String, Vec<String>),
    api: ApiId,
    needed: ScopeSet,
}

impl Memo {
    /// The digest of this text and its tenant, if it asked last too, and the peppers are what they were.
    pub(super) fn asker(&self, text: &str, peppers: u64) -> Option<(TenantId, Digest)> {
        let asked = self.asker.lock();
        let asked = asked.as_ref().filter(|a| a.peppers == peppers)?;
        // A connection may be shared by several clients of a proxy: how long this takes must tell nothing.
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(
            asked.text.as_bytes(),
            text.as_bytes(),
        );
        same.ok().map(|()| (asked.tenant, asked.digest))
    }

    /// Forgets who asked: a credential that was refused is looked at anew.
    pub(super) fn forget(&self) {
        *self.asker.lock() = None;
    }

    /// The `Date` of an answer (RFC 9110 §6.6.1), written once a second.
    pub(super) fn with_date(&self, now: Time, write: impl FnOnce(&str)) {
        let mut date = self.date.lock();
        if date.0 != now.seconds() || date.1.is_empty() {
            *date = (now.seconds(), http_date(now));
        }
        write(&date.1);
    }

    pub(super) fn remember(&self, text: &str, (tenant, digest): (TenantId, Digest), peppers: u64) {
        let text = Zeroizing::new(text.to_owned());
        *self.asker.lock() = Some(Asked {
            text,
            tenant,
            digest,
            peppers,
        });
    }

    /// The question that a view asks, its names read anew only when they or the directory changed.
    pub(super) fn question<'a>(
        &self,
        directory: &Directory,
        tenant: TenantId,
        view: &'a CheckView<'_>,
    ) -> Result<Question<'a>, Problem> {
        let Some(scopes) = &view.scopes else {
            return question(directory, tenant, view, "");
        };
        let mut meant = self.meant.lock();
        if let Some(m) = meant.as_ref()
            && m.size == directory.size()
            && m.tenant == tenant
            && m.names.0 == view.api
            && m.names.1 == *scopes
        {
            return Ok(asking((tenant, m.api, m.needed), view));
        }
        let fresh = question(directory, tenant, view, "")?;
        let names = (
            view.api.to_string(),
            scopes.iter().map(ToString::to_string).collect(),
        );
        let (size, api, needed) = (directory.size(), fresh.api, fresh.needed);
        *meant = Some(Meant {
            size,
            tenant,
            names,
            api,
            needed,
        });
        Ok(fresh)
    }
}
