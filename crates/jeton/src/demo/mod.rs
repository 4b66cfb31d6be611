//! The demo: a whole authority, a small API that asks it about every call, and the main job from first token to revocation,
//! over real HTTPS. Each step says what it expects, and a step that turns out otherwise ends the demo with an error.

mod api;
mod story;
mod talk;
mod tamper;

use std::{io::IsTerminal as _, path::PathBuf};

use jeton_store::sqlite::Durability;

use crate::{config::Config, serve};

/// What the demo takes.
#[derive(clap::Args, Debug, Default)]
pub struct DemoArgs {
    /// An OpenAPI 3 description (JSON) whose scopes and routes the example API takes on.
    #[arg(long, value_name = "FILE")]
    pub openapi: Option<PathBuf>,
    /// Keep serving afterwards, also without a terminal.
    #[arg(long)]
    pub serve: bool,
    /// Where to keep the demo's data; a fresh temporary directory unless told.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What to show in place of the main job.
    #[command(subcommand)]
    pub show: Option<Show>,
}

/// What else can be shown.
#[derive(clap::Subcommand, Debug, Clone, Copy)]
pub enum Show {
    /// Tamper with the database, the backups and the history of a throw-away authority, and see each edit caught by name
    Tamper,
}

/// Runs the demo.
///
/// # Errors
/// The first step that did not turn out as it should.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let (dir, temporary) = match &args.data_dir {
        Some(dir) => (dir.clone(), false),
        None => (fresh_dir(), true),
    };
    if let Some(Show::Tamper) = args.show {
        let told = tamper::run(&dir).await;
        if temporary {
            drop(std::fs::remove_dir_all(&dir));
        }
        return told;
    }
    let description = description(&args)?;
    let config = Config {
        data_dir: dir.clone(),
        listen: "127.0.0.1:0".to_owned(),
        unix_socket: Some(dir.join("jeton.sock")),
        ..Config::default()
    };
    let running = serve::start(&config, Durability::Full).await?;
    let outcome = story::tell(&running, &description).await;
    let keep = args.serve || std::io::stdout().is_terminal();
    match outcome {
        Ok(world) => {
            if keep {
                world.what_next(&running);
                tokio::signal::ctrl_c().await?;
                println!("\nStopping.");
            }
            world.stop().await;
        }
        Err(error) => {
            running.stop().await;
            return Err(error);
        }
    }
    running.stop().await;
    if temporary {
        drop(std::fs::remove_dir_all(&dir));
    }
    Ok(())
}

/// The description of the example API, or the caller's own.
fn description(args: &DemoArgs) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    let text = match &args.openapi {
        None => include_str!("openapi.json").to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?,
    };
    serde_json::from_str(&text)
        .map_err(|e| anyhow::anyhow!("the description is not a JSON object: {e}"))
}

fn fresh_dir() -> PathBuf {
    let name = data_encoding::HEXLOWER.encode(&crate::capability::draw::<6>());
    std::env::temp_dir().join(format!("jeton-demo-{name}"))
}
