//! Checks over HTTP, HTTPS and a unix socket beside bare hyper servers: slices in turn, medians of ratios.

use std::{sync::Arc, time::Duration};

use jeton::net::{Roots, client_config};
use serde_json::{Value, json};

use crate::{
    drive::{Connection, Drive, Via},
    load, median, pin,
    place::{Place, prepare},
    runtime,
    servers::Server,
};

pub const CONNECTIONS: usize = 32;

/// Measures, and prints the figures.
pub fn run(quick: bool) {
    let place = place(quick);
    let mut out = compare(&place, quick);
    let (events, took) = load::replay(place.dir.path());
    out["replayed"] = json!(events);
    out["replay_s"] = json!(thousandths(took));
    println!("{out}");
}

pub fn thousandths(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

fn place(quick: bool) -> Place {
    let tokens = if quick { 1 << 17 } else { 1 << 20 };
    let place = runtime(2).block_on(prepare(tokens));
    eprintln!("prepared {} tokens", place.texts.len());
    pin(1);
    place
}

/// Drives one way alone, for so many seconds: something for a profiler to look at.
pub fn profile(name: &str, seconds: u64) {
    let place = place(true);
    with_ways(&place, |_, ways| {
        let way = ways.iter_mut().find(|w| w.name == name);
        let way = way
            .expect("one of jeton_http, bare_http, jeton_https, bare_https, jeton_unix, bare_unix");
        eprintln!("driving process {}", way.server.id());
        way.slice(Duration::from_secs(seconds), true);
        println!("{:.3} us, {:.0}/s", way.cpu_us[0], way.per_s[0]);
    });
}

pub fn request(checker: &str, text: &str) -> Vec<u8> {
    let body =
        json!({"token": text, "api": "docs", "scopes": ["docs:read"], "address": "192.0.2.7"})
            .to_string();
    format!(
        "POST /v1/check HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {checker}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One way to one of the servers, with what was seen of it.
struct Way<'a> {
    name: &'static str,
    drive: Drive,
    server: &'a Server,
    per_s: Vec<f64>,
    /// The processor time of the whole server, kernel included, for each answer.
    cpu_us: Vec<f64>,
}

impl Way<'_> {
    fn slice(&mut self, length: Duration, counts: bool) {
        let before = self.server.cpu();
        let (answers, took) = self.drive.slice(length);
        let cpu = self.server.cpu().saturating_sub(before);
        if counts {
            self.per_s.push(answers as f64 / took.as_secs_f64());
            self.cpu_us.push(cpu.as_secs_f64() * 1e6 / answers as f64);
        }
    }
}

/// Starts both servers and opens every way to them; every token has been used once by then.
fn with_ways<T>(place: &Place, f: impl FnOnce(usize, &mut [Way<'_>; 6]) -> T) -> T {
    let dir = place.dir.path();
    let jeton = Server::spawn(&["serve-jeton", dir.to_str().unwrap()]);
    let texts = place.texts.iter();
    let requests: Arc<Vec<_>> = Arc::new(texts.map(|t| request(&place.checker, t)).collect());
    let tls = dir.join("data/tls");
    let mut config = client_config(Roots::File(&tls.join("ca.pem"))).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let mut probe = Connection::new(&Via::Plain(jeton.plain));
    probe.ask(&requests[0]);
    let size = probe.answer();
    let bare = Server::spawn(&[
        "serve-bare",
        &size.to_string(),
        tls.to_str().unwrap(),
        dir.join("bare.sock").to_str().unwrap(),
    ]);
    // Before the other ways are opened: a connection that asks nothing is closed after some seconds.
    Drive::new(&Via::Plain(jeton.plain), CONNECTIONS, &requests).once_each();
    let way = |name, server, via| Way {
        name,
        drive: Drive::new(&via, CONNECTIONS, &requests),
        server,
        per_s: Vec::new(),
        cpu_us: Vec::new(),
    };
    let mut ways = [
        way("jeton_http", &jeton, Via::Plain(jeton.plain)),
        way("bare_http", &bare, Via::Plain(bare.plain)),
        way(
            "jeton_https",
            &jeton,
            Via::Secure(jeton.secure, Arc::clone(&config)),
        ),
        way("bare_https", &bare, Via::Secure(bare.secure, config)),
        way("jeton_unix", &jeton, Via::Unix(dir.join("jeton.sock"))),
        way("bare_unix", &bare, Via::Unix(dir.join("bare.sock"))),
    ];
    f(size, &mut ways)
}

fn compare(place: &Place, quick: bool) -> Value {
    with_ways(place, |size, ways| rounds(place, quick, size, ways))
}

fn rounds(place: &Place, quick: bool, size: usize, ways: &mut [Way<'_>; 6]) -> Value {
    let (rounds, length) = if quick { (11, 200) } else { (41, 250) };
    for round in 0..=rounds {
        for way in ways.iter_mut() {
            way.slice(Duration::from_millis(length), round > 0);
        }
    }
    let ratio =
        |a: &[f64], b: &[f64]| thousandths(median(a.iter().zip(b).map(|(a, b)| a / b).collect()));
    let [http, bare_http, https, bare_https, unix, bare_unix] = &*ways;
    let mut out = json!({
        "tokens": place.texts.len(), "answer_bytes": size,
        "http_ratio_1m": ratio(&http.per_s, &bare_http.per_s),
        "https_ratio_1m": ratio(&https.per_s, &bare_https.per_s),
        "unix_ratio_1m": ratio(&unix.per_s, &bare_http.per_s),
        "unix_of_bare_unix_1m": ratio(&unix.per_s, &bare_unix.per_s),
        "http_cpu_ratio_1m": ratio(&bare_http.cpu_us, &http.cpu_us),
        "https_cpu_ratio_1m": ratio(&bare_https.cpu_us, &https.cpu_us),
        "unix_cpu_ratio_1m": ratio(&bare_http.cpu_us, &unix.cpu_us),
    });
    for way in ways.iter() {
        out[format!("{}_per_s", way.name)] = json!(median(way.per_s.clone()).round());
        out[format!("{}_cpu_us", way.name)] = json!(thousandths(median(way.cpu_us.clone())));
    }
    out
}
