//! A directory at rest, and back.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::{Directory, Inapplicable, Log, Remembered, Role, Tenant, slot};
use crate::{api::Api, id::TenantId, subject::Subject};

/// A directory at rest, for a snapshot.
#[derive(Encode, Decode)]
#[cbor(map)]
pub struct Image {
    #[n(0)]
    size: u64,
    #[n(1)]
    system: Option<TenantId>,
    #[n(2)]
    tenants: Vec<Tenant>,
    #[n(3)]
    apis: Vec<Api>,
    #[n(4)]
    roles: Vec<Role>,
    #[n(5)]
    subjects: Vec<Subject>,
    #[n(6)]
    sequences: Vec<(Key, u64)>,
    #[n(7)]
    requests: Vec<(Key, Remembered)>,
    #[n(8)]
    log: Log,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct Key(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl Directory {
    /// The directory at rest.
    #[must_use]
    pub fn image(&self) -> Image {
        let requests = self
            .request_order
            .iter()
            .filter_map(|k| self.requests.get(k).map(|r| (Key(*k), *r)));
        Image {
            size: self.size,
            system: self.system,
            tenants: self.tenants.iter().map(|t| Tenant::clone(t)).collect(),
            apis: self.apis.iter().map(|a| Api::clone(a)).collect(),
            roles: self.roles.iter().map(|r| Role::clone(r)).collect(),
            subjects: self.subjects.iter().map(|s| Subject::clone(s)).collect(),
            sequences: self.sequences.iter().map(|(k, n)| (Key(*k), *n)).collect(),
            requests: requests.collect(),
            log: Log::clone(&self.log),
        }
    }

    /// The directory that an image shows.
    ///
    /// # Errors
    /// [`Inapplicable`] if it shows more things than slots can name.
    pub fn from_image(image: Image) -> Result<Self, Inapplicable> {
        let mut out = Self {
            size: image.size,
            system: image.system,
            log: Arc::new(image.log),
            ..Self::default()
        };
        for (n, tenant) in image.tenants.into_iter().enumerate() {
            out.tenant_slots.insert(tenant.id, slot(n)?);
            out.prefix_slots.insert(tenant.prefix, slot(n)?);
            out.tenants.push_back(Arc::new(tenant));
        }
        for (n, api) in image.apis.into_iter().enumerate() {
            out.api_slots.insert(api.id, slot(n)?);
            out.api_names
                .insert((api.tenant, Arc::from(api.name.as_str())), slot(n)?);
            for host in &api.hosts {
                out.hosts.insert(Arc::from(host.as_str()), slot(n)?);
            }
            out.apis.push_back(Arc::new(api));
        }
        for (n, role) in image.roles.into_iter().enumerate() {
            out.role_slots.insert(role.id, slot(n)?);
            if !role.deleted {
                out.role_names
                    .insert((role.tenant, Arc::from(role.name.as_str())), slot(n)?);
            }
            out.roles.push_back(Arc::new(role));
        }
        for (n, subject) in image.subjects.into_iter().enumerate() {
            out.subject_slots.insert(subject.id, slot(n)?);
            out.subjects.push_back(Arc::new(subject));
        }
        out.sequences
            .extend(image.sequences.into_iter().map(|(Key(k), n)| (k, n)));
        for (Key(key), request) in image.requests {
            out.requests.insert(key, request);
            out.request_order.push_back(key);
        }
        Ok(out)
    }
}
