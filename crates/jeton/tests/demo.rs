//! The demo is a test: each of its steps asserts what it shows.

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_to_the_end() {
    let args = jeton::demo::DemoArgs::default();
    if let Err(error) = jeton::demo::run(args).await {
        panic!("{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_edit_of_the_tamper_demo_is_caught() {
    let args = jeton::demo::DemoArgs {
        show: Some(jeton::demo::Show::Tamper),
        ..Default::default()
    };
    if let Err(error) = jeton::demo::run(args).await {
        panic!("{error:#}");
    }
}
