//! Is this pull request mergeable, if not, why not, and if so, merge it safely.
//!
//! Without arguments, a story on a fake GitHub on loopback; no account and no network are needed:
//!
//! ```sh
//! cargo run -p gastown-github --example merge_when_ready
//! ```
//!
//! With an address, the same question about a real pull request, and with `--merge` the deed:
//!
//! ```sh
//! GITHUB_TOKEN=… cargo run -p gastown-github --example merge_when_ready -- https://github.com/octo-org/hello/pull/7
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gastown_github::clock::Clock;
use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
use gastown_github::merge::{MergeRequest, MethodChoice};
use gastown_github::observation::{MergeOutcome, PullRequestState};
use gastown_github::observe::Detail;
use gastown_github::readiness::{MergeConditions, blockers};
use gastown_github::transport::{ReqwestTransport, TransportLimits};
use gastown_github::url::{AllowedHosts, ForgeHost, Product, PullRequestUrl};
use gastown_github::{GitHub, GitHubConfig};
use gastown_testkit::fake_github::{
    Conclusion, FakeGitHub, Grant, Opening, Options, Rules, Verdict, WEB_HOST,
};

type Failure = Box<dyn Error + Send + Sync>;

/// The time of the machine. The crate asks no clock itself; tests bring another one.
struct MachineTime;

#[async_trait]
impl Clock for MachineTime {
    #[allow(
        clippy::disallowed_methods,
        reason = "a program has to get the time somewhere"
    )]
    fn now(&self) -> DateTime<Utc> {
        std::time::SystemTime::now().into()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// An adapter for one host and one token, which goes nowhere else.
fn adapter(host: ForgeHost, token: &str) -> Result<GitHub, Failure> {
    let source = KnownToken::new("GITHUB_TOKEN", &host, Token::new(token));
    let chain = CredentialChain::new([Arc::new(source) as Arc<dyn CredentialSource>]);
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host]),
        ..GitHubConfig::default()
    };
    let transport = Arc::new(ReqwestTransport::new(TransportLimits::default())?);
    Ok(GitHub::new(config, transport, Arc::new(MachineTime), chain))
}

/// Looks, and says in words for people what stands in the way of a merge.
async fn why_not(github: &GitHub, which: &PullRequestUrl) -> Result<Vec<String>, Failure> {
    let seen = github.observe(which, Detail::Feedback).await?;
    if let PullRequestState::Merged { .. } = seen.state {
        return Ok(vec!["it is merged".to_owned()]);
    }
    let conditions = MergeConditions::for_head(&seen.head_sha);
    let said: Vec<String> = blockers(&seen, &conditions)
        .iter()
        .map(|it| format!("not now: {it}"))
        .collect();
    if said.is_empty() {
        return Ok(vec!["nothing speaks against it".to_owned()]);
    }
    Ok(said)
}

/// Merges the head that is there now, if a fresh look finds it ready, and says what came of it.
async fn merge(github: &GitHub, which: &PullRequestUrl) -> Result<String, Failure> {
    let seen = github.observe(which, Detail::State).await?;
    let wanted = MergeRequest {
        pull_request: which.clone(),
        repository: which.repository.clone(),
        method: MethodChoice::Auto,
        conditions: MergeConditions::for_head(&seen.head_sha),
    };
    Ok(match github.merge(&wanted).await {
        MergeOutcome::Merged { .. } => "merged".to_owned(),
        MergeOutcome::Queued => "in the merge queue".to_owned(),
        MergeOutcome::NotReady { .. } => "not merged: it is not ready".to_owned(),
        MergeOutcome::Refused { status, message } => format!("refused, {status}: {message}"),
        // It may have been merged all the same: look before anything else.
        MergeOutcome::Error { error } => format!("unknown: {error}"),
    })
}

/// A branch that demands a check and an approval, from "not now" to "merged".
async fn story(tell: &mut dyn FnMut(String)) -> Result<(), Failure> {
    let fake = FakeGitHub::new(Options::default())?;
    let server = fake.serve().await?;
    let head = fake.edit(|world| {
        world.grant("ghp_example", Grant::of("octocat"));
        let repository = world.add_repository("octo-org/hello")?;
        repository.push("work", &[("new.txt", "new\n")])?;
        let rules = Rules {
            approvals: 1,
            ..Rules::default().requiring("build")
        };
        repository.rules.insert("main".to_owned(), rules);
        repository.open(Opening::of("work"))?;
        repository.head("work")
    })?;
    let head = head.ok_or("the fake has no branch of that name")?;
    let host = ForgeHost::with_api(WEB_HOST, Product::Dotcom, &fake.rest(), &fake.graphql())?;
    let url = format!("https://{WEB_HOST}/octo-org/hello/pull/1");
    let which = AllowedHosts::new([host.clone()]).pull_request(&url)?;
    let github = adapter(host, "ghp_example")?;

    tell("A pull request was opened. May it be merged?".to_owned());
    why_not(&github, &which)
        .await?
        .into_iter()
        .for_each(&mut *tell);
    tell(merge(&github, &which).await?);

    tell("The check passes, and somebody asks a question.".to_owned());
    let thread = fake.edit(|world| {
        let repository = world.repository("octo-org/hello")?;
        repository.report_check(&head, "build", 15368, Some(Conclusion::Success));
        repository.open_thread(1, "ann", "new.txt", "Why is this new?")
    })?;
    why_not(&github, &which)
        .await?
        .into_iter()
        .for_each(&mut *tell);

    tell("The question is answered, and the work approved.".to_owned());
    fake.edit(|world| {
        let repository = world.repository("octo-org/hello")?;
        repository.resolve_thread(thread, true)?;
        repository.review(1, "ann", Verdict::Approve, "")
    })?;
    why_not(&github, &which)
        .await?
        .into_iter()
        .for_each(&mut *tell);
    tell(merge(&github, &which).await?);
    why_not(&github, &which)
        .await?
        .into_iter()
        .for_each(&mut *tell);
    drop(server);
    Ok(())
}

/// The pull request of that address on github.com.
async fn real(url: &str, and_merge: bool) -> Result<(), Failure> {
    let token = std::env::var("GITHUB_TOKEN").map_err(|_| "set GITHUB_TOKEN to a token")?;
    let which = AllowedHosts::default().pull_request(url)?;
    let github = adapter(ForgeHost::github_com(), &token)?;
    for line in why_not(&github, &which).await? {
        println!("{line}");
    }
    if and_merge {
        println!("{}", merge(&github, &which).await?);
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let and_merge = arguments.iter().any(|it| it == "--merge");
    let unknown = |it: &&String| it.starts_with("--") && *it != "--merge";
    if let Some(unknown) = arguments.iter().find(unknown) {
        return Err(format!("unknown argument {unknown}; expected an address and --merge").into());
    }
    match arguments.iter().find(|it| !it.starts_with("--")) {
        Some(url) => runtime.block_on(real(url, and_merge)),
        None => runtime.block_on(story(&mut |line| println!("{line}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_story_ends_with_a_merge() {
        let mut said = Vec::new();
        story(&mut |line| said.push(line)).await.unwrap();
        assert_eq!(
            said,
            [
                "A pull request was opened. May it be merged?",
                "not now: a rule of its base branch is not met",
                "not now: required checks have not reported: build",
                "not now: an approval is missing",
                "not merged: it is not ready",
                "The check passes, and somebody asks a question.",
                "not now: a rule of its base branch is not met",
                "not now: 1 review threads are unresolved",
                "not now: an approval is missing",
                "The question is answered, and the work approved.",
                "nothing speaks against it",
                "merged",
                "it is merged",
            ]
        );
    }
}
