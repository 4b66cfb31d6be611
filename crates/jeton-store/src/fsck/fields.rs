//! Which fields of a row are not what replay gives, by the names that their users know.
//!
//! A row's body is decoded on both sides. One that cannot be decoded, or is not canonical, differs as a whole: `body`.

use jeton_core::{
    api::Api,
    directory::{Entity, Role, Tenant},
    permit::{Permit, Rights},
    subject::Subject,
    time::Time,
    token::record::{Reason, Terms},
};

use crate::row::TokenRow;

/// The body of a token's row, as [`TokenRow::body`] says.
type TokenBody = (Terms, u64, u32, Option<Time>, Option<Reason>, Option<Time>);

/// The names of what differs, in the order in which people read them.
#[derive(Default)]
struct Fields(Vec<&'static str>);

impl Fields {
    fn compare<T: PartialEq + ?Sized>(&mut self, name: &'static str, due: &T, kept: &T) {
        if due != kept {
            self.0.push(name);
        }
    }

    fn permit(&mut self, due: &Permit, kept: &Permit) {
        self.rights(&due.use_, &kept.use_);
        self.compare("give", &due.give, &kept.give);
        self.compare("conditions", &due.conditions, &kept.conditions);
    }

    /// Scopes and resources are told apart where the grants are for the same APIs.
    fn rights(&mut self, due: &Rights, kept: &Rights) {
        let (Rights::Listed(due), Rights::Listed(kept)) = (due, kept) else {
            return self.compare("grants", due, kept);
        };
        let same_apis =
            due.len() == kept.len() && due.iter().zip(kept).all(|(due, kept)| due.api == kept.api);
        if !same_apis {
            return self.compare("grants", due, kept);
        }
        let pairs = || due.iter().zip(kept);
        if pairs().any(|(due, kept)| due.scopes != kept.scopes) {
            self.0.push("scopes");
        }
        if pairs().any(|(due, kept)| due.resources != kept.resources) {
            self.0.push("resources");
        }
    }

    /// What is left to say where bytes differ and no field does.
    fn or_body(mut self, differ: bool) -> Vec<&'static str> {
        if differ && self.0.is_empty() {
            self.0.push("body");
        }
        self.0
    }
}

/// The fields of a token's row that differ.
#[must_use]
pub fn of_token(due: &TokenRow, kept: &TokenRow) -> Vec<&'static str> {
    let mut fields = Fields::default();
    fields.compare("tenant", &due.tenant, &kept.tenant);
    fields.compare("owner", &due.subject, &kept.subject);
    fields.compare("class", &due.class, &kept.class);
    fields.compare("state", &due.state, &kept.state);
    fields.compare("expires", &due.expires, &kept.expires);
    if due.body == kept.body {
        return fields.0;
    }
    let mut within = Fields::default();
    let read = |bytes: &[u8]| minicbor::decode::<TokenBody>(bytes).ok();
    if let (Some(due), Some(kept)) = (read(&due.body), read(&kept.body)) {
        within.permit(&due.0.permit, &kept.0.permit);
        within.compare("limit", &due.0.limit, &kept.0.limit);
        within.compare("idle", &due.0.idle, &kept.0.idle);
        within.compare("lifetime_max", &due.0.lifetime_max, &kept.0.lifetime_max);
        within.compare("issued", &due.1, &kept.1);
        within.compare("generation", &due.2, &kept.2);
        within.compare("overlap_until", &due.3, &kept.3);
        within.compare("reason", &due.4, &kept.4);
        within.compare("revoked_at", &due.5, &kept.5);
    }
    fields.0.extend(within.or_body(true));
    fields.0
}

/// The fields of another thing's row that differ.
#[must_use]
pub fn of_entity(due: &Entity, kept: &Entity) -> Vec<&'static str> {
    let mut fields = Fields::default();
    fields.compare("tenant", &due.tenant, &kept.tenant);
    if due.body == kept.body {
        return fields.0;
    }
    let bodies = (due.body.as_slice(), kept.body.as_slice());
    let within = match due.kind {
        "tenant" => both(bodies, tenant),
        "api" => both(bodies, api),
        "role" => both(bodies, role),
        _ => both(bodies, subject),
    };
    fields.0.extend(within.or_body(true));
    fields.0
}

fn both<'a, T: minicbor::Decode<'a, ()>>(
    (due, kept): (&'a [u8], &'a [u8]),
    compare: impl FnOnce(&mut Fields, &T, &T),
) -> Fields {
    let mut fields = Fields::default();
    if let (Ok(due), Ok(kept)) = (minicbor::decode(due), minicbor::decode(kept)) {
        compare(&mut fields, &due, &kept);
    }
    fields
}

fn tenant(fields: &mut Fields, due: &Tenant, kept: &Tenant) {
    fields.compare("id", &due.id, &kept.id);
    fields.compare("prefix", &due.prefix, &kept.prefix);
    fields.compare("standing", &due.standing, &kept.standing);
    fields.compare("cut_off", &due.cut_off, &kept.cut_off);
    fields.compare("policies", &due.policies, &kept.policies);
    fields.compare("named_at", &due.named_at, &kept.named_at);
}

fn api(fields: &mut Fields, due: &Api, kept: &Api) {
    fields.compare("id", &due.id, &kept.id);
    fields.compare("name", &due.name, &kept.name);
    fields.compare("audience", &due.audience, &kept.audience);
    fields.compare("scopes", &due.catalogue, &kept.catalogue);
    fields.compare("hosts", &due.hosts, &kept.hosts);
    fields.compare("routes", &due.routes, &kept.routes);
    let parameters = (&due.query_parameter, &kept.query_parameter);
    fields.compare("query_parameter", parameters.0, parameters.1);
}

fn role(fields: &mut Fields, due: &Role, kept: &Role) {
    fields.compare("id", &due.id, &kept.id);
    fields.compare("name", &due.name, &kept.name);
    fields.permit(&due.permit, &kept.permit);
    fields.compare("deleted", &due.deleted, &kept.deleted);
}

fn subject(fields: &mut Fields, due: &Subject, kept: &Subject) {
    fields.compare("id", &due.id, &kept.id);
    fields.compare("standing", &due.standing, &kept.standing);
    fields.compare("cut_off", &due.cut_off, &kept.cut_off);
    fields.compare("roles", &due.roles, &kept.roles);
    match (&due.permit, &kept.permit) {
        (Some(due), Some(kept)) => fields.permit(due, kept),
        (due, kept) => fields.compare("grants", due, kept),
    }
    fields.compare("sponsor", &due.sponsor, &kept.sponsor);
    fields.compare("named_at", &due.named_at, &kept.named_at);
}
