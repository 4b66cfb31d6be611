//! A tenant's own watch over the log: it finds its events by their tags, asks what each is, and says what it did not order.
//!
//! The authority cannot hide from it what it logged under the tenant: numbers have no gaps. It cannot show it another history
//! than others see, where the policy asks for witnesses. What is minted outside of the log no monitor sees; verifiers that ask
//! for inclusion refuse it.

mod known;
mod round;
mod state;
mod webhook;

pub use known::Known;
pub use round::{AHEAD, Monitor, Own, Round};
pub use state::{Noticed, State, StateError};
pub use webhook::{Webhook, WebhookError};
