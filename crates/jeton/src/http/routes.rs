//! Every operation of the management API in one table: the router and the OpenAPI description are both made of it.

mod catalogue;
mod log;
mod operator;
mod public;
mod subjects;
mod tokens;

use std::sync::Arc;

use axum::{
    Json, Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use http::{HeaderValue, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::http::{caller::Needs, door::Doors, extract};

/// An answer that says yes, with the ledger's size where something changed.
pub struct Reply<T> {
    status: StatusCode,
    body: T,
    size: Option<u64>,
    sunset: Option<HeaderValue>,
}

impl<T> Reply<T> {
    /// An answer.
    #[must_use]
    pub fn new(status: StatusCode, body: T) -> Self {
        Self {
            status,
            body,
            size: None,
            sunset: None,
        }
    }

    /// With `Jeton-Log-Size`: give it back as `Jeton-At-Least` to read your own write on any node.
    #[must_use]
    pub fn at(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// With `Sunset`, if the caller's credential ends soon.
    #[must_use]
    pub fn sunset(mut self, date: Option<HeaderValue>) -> Self {
        self.sunset = date;
        self
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = match self.status {
            StatusCode::NO_CONTENT => StatusCode::NO_CONTENT.into_response(),
            status => (status, Json(self.body)).into_response(),
        };
        if let Some(size) = self.size {
            response
                .headers_mut()
                .insert("jeton-log-size", HeaderValue::from(size));
        }
        if let Some(date) = self.sunset {
            response.headers_mut().insert("sunset", date);
        }
        response
    }
}

/// A schema in the making.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Who may call an operation.
#[derive(Clone, Copy)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever holds any of these scopes of jeton's own API, by number.
    AnyOf(&'static [u8]),
    /// Whoever shows a working token of this deployment.
    Holder,
}

/// One operation.
pub struct Operation {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path, with `{id}` where an id stands.
    pub path: &'static str,
    /// The stable name.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The body that it takes.
    pub body: Option<SchemaOf>,
    /// The query parameters that it takes.
    pub query: Option<SchemaOf>,
    /// The status and body of its yes.
    pub answer: (u16, Option<SchemaOf>),
    /// Whether it may answer 409.
    pub conflicts: bool,
    /// The media type of its yes.
    pub media: &'static str,
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            access: Access::Public,
            body: None,
            query: None,
            answer: (200, None),
            conflicts: false,
            media: "application/json",
        }
    }

    fn needs<N: Needs>(mut self) -> Self {
        self.access = Access::AnyOf(N::ANY_OF);
        self
    }

    fn holder(mut self) -> Self {
        self.access = Access::Holder;
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(of::<T>);
        self
    }

    fn asks<T: JsonSchema>(mut self) -> Self {
        self.query = Some(of::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answer = (status, Some(of::<T>));
        self
    }

    fn empty(mut self, status: u16) -> Self {
        self.answer = (status, None);
        self
    }

    fn conflicts(mut self) -> Self {
        self.conflicts = true;
        self
    }

    fn media(mut self, media: &'static str) -> Self {
        self.media = media;
        self
    }
}

type Row = (Operation, Option<MethodRouter<Arc<Doors>>>);

/// The table.
#[must_use]
pub fn table() -> Vec<Row> {
    let mut rows = tokens::rows();
    rows.extend(subjects::rows());
    rows.extend(catalogue::rows());
    rows.extend(operator::rows());
    rows.extend(log::rows());
    rows.extend(public::rows());
    rows
}

fn row(operation: Operation, handler: MethodRouter<Arc<Doors>>) -> Row {
    (operation, Some(handler))
}

/// The router of the table.
#[must_use]
pub fn router(doors: &Arc<Doors>) -> Router {
    let mut router: Router<Arc<Doors>> = Router::new();
    for (operation, handler) in table() {
        // The door answers these before the router is asked: here they are for the sake of their other methods.
        let handler = handler.unwrap_or_else(|| post(extract::nothing_here));
        router = router.route(operation.path, handler);
    }
    router
        .merge(log::paths())
        .fallback(extract::nothing_here)
        .method_not_allowed_fallback(extract::other_method)
        .with_state(Arc::clone(doors))
}
