//! Prints the page on the configuration: what `cargo xtask gen` writes to `docs/reference/configuration.md`.

fn main() {
    print!("{}", jeton::config::reference::page());
}
