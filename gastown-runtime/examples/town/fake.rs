//! The town on a fake GitHub: what a host does to work by pull requests.
//!
//! Addresses say `https://github.test/acme/RIG`. Requests go to the fake on loopback; git is told
//! by its configuration that these repositories are directories of this town.

pub(crate) mod api;
mod neighbours;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gastown_core::commands::AddRig;
use gastown_core::{
    AutoMergeDelay, MergeStrategy, Policy, RefineryConfig, Secret, StartRequest, Store, Timestamp,
    Town, TownConfig, TownId,
};
use gastown_github::clock::Clock as ForgeClock;
use gastown_github::credentials::{CredentialChain, CredentialSource, KnownToken, Token};
use gastown_github::url::{AllowedHosts, ForgeHost, Product};
use gastown_github::{GitHub, GitHubConfig};
use gastown_runtime::{Clock, Credentials, CredentialsError, SystemClock};
use gastown_store_sqlite::{Options, SqliteStore};
use gastown_testkit::fake_github::{
    FakeClock, FakeError, FakeGitHub, Grant, Options as FakeOptions, Rules, WEB_HOST,
};

use self::neighbours::{Neighbours, Story};
use crate::directory::{Directory, write};
use crate::failure::Failure;
use crate::git::CONFIG_VARIABLE;
use crate::jobs;
use crate::origins::{self, DEFAULT_BRANCH, ORIGINS};
use crate::town::Parts;
use crate::{preflight, setup};

/// Who owns the repositories.
const OWNER: &str = "acme";
/// Where agents find the API, and by which variable they get its token.
pub(crate) const REST_VARIABLE: &str = "FORGE_REST";
pub(crate) const TOKEN_VARIABLE: &str = "FORGE_TOKEN";
/// The tokens of the town and of its polecats, who can't approve their own work.
const TOWN_TOKEN: &str = "ghp_town";
const POLECAT_TOKEN: &str = "ghp_polecat";
/// How long a pull request has to be green before the town merges it.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the town in `dir`, else in a new temporary directory.
pub(crate) fn run(dir: Option<PathBuf>) -> Result<ExitCode, Failure> {
    preflight::check_git()?;
    let directory = Directory::claim(dir)?;
    if directory.is_resumed() {
        return Err(Failure::NotReady(format!(
            "{} holds an earlier town, and the fake GitHub has forgotten it: name a new directory",
            directory.path().display()
        )));
    }
    let config = directory.path().join("gitconfig");
    let text = format!(
        "[url \"{}/\"]\n\tinsteadOf = https://{WEB_HOST}/{OWNER}/\n",
        directory.path().join("origins").display()
    );
    write(&config, &text)?;
    if std::env::var_os(CONFIG_VARIABLE).is_none_or(|it| it != config.as_os_str()) {
        return Err(again(&directory, config.into_os_string()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|source| Failure::file(directory.path(), source))?;
    runtime.block_on(run_in(&directory, &config.to_string_lossy()))
}

/// Becomes this program anew, in an environment in which git knows where the repositories are.
fn again(directory: &Directory, config: OsString) -> Failure {
    let program = std::env::current_exe();
    let program = match program {
        Ok(program) => program,
        Err(source) => return Failure::file(directory.path(), source),
    };
    let error = Command::new(&program)
        .args(["--forge", "fake", "--dir"])
        .arg(directory.path())
        .env(CONFIG_VARIABLE, &config)
        .env("GIT_CONFIG_GLOBAL", &config)
        .exec();
    Failure::file(&program, error)
}

async fn run_in(directory: &Directory, git_config: &str) -> Result<ExitCode, Failure> {
    let clock = Arc::new(SystemClock::new());
    let begin = clock.monotonic();
    origins::make(directory)?;
    let fake = begin_fake(directory, Arc::clone(&clock))?;
    let server = fake.serve().await;
    let server = server.map_err(|source| Failure::file(directory.path(), source))?;
    let store = SqliteStore::open(directory.database(), Options::safe()).await;
    let store = store.map_err(Failure::Open)?;
    let town_id = TownId::new(setup::TOWN).map_err(|error| Failure::NotReady(error.to_string()))?;
    found(&store, &town_id, &fake.rest(), git_config, clock.now()).await?;
    let story = Story::default();
    let neighbours = Neighbours::new(fake.clone(), directory, Arc::clone(&story));
    let neighbours = tokio::spawn(neighbours.live());
    let titles: Vec<&str> = jobs::BY_PULL_REQUEST.iter().map(|job| job.title).collect();
    let town = Parts {
        directory,
        store,
        town_id,
        forge: Arc::new(adapter(&fake, Arc::clone(&clock))?),
        credentials: Arc::new(Tokens),
        titles: &titles,
        evict: false,
    };
    let code = town.run(clock, begin).await;
    neighbours.abort();
    drop(server);
    let ends = fake.edit(neighbours::ends).map_err(failed)?;
    let story = story.lock().unwrap_or_else(PoisonError::into_inner).clone();
    println!("\nOn the forge");
    for line in story.into_iter().chain(ends) {
        println!("  {line}");
    }
    code
}

fn failed(error: FakeError) -> Failure {
    Failure::Stopped(format!("the fake GitHub: {error}"))
}

/// The repositories with what their owners demand.
fn begin_fake(directory: &Directory, clock: Arc<SystemClock>) -> Result<FakeGitHub, Failure> {
    let options = FakeOptions {
        clock: FakeClock::told_by(move || calendar(&clock)),
        ..FakeOptions::default()
    };
    let fake = FakeGitHub::new(options).map_err(failed)?;
    let made = fake.edit(|world| {
        world.grant(TOWN_TOKEN, Grant::of("gastown"));
        world.grant(POLECAT_TOKEN, Grant::of("polecat"));
        for origin in &ORIGINS {
            let name = format!("{OWNER}/{}", origin.rig);
            let repository = world.host_repository(&name, &directory.origin(origin.rig))?;
            let rules = Rules {
                approvals: 1,
                resolve_threads: true,
                ..Rules::default().requiring("tests").requiring("edge-cases")
            };
            repository.rules.insert(DEFAULT_BRANCH.to_owned(), rules);
            // One of them takes nothing but squashed work.
            let squash_only = origin.rig == "scribe";
            repository.settings.allow_squash_merge = squash_only;
            repository.settings.allow_rebase_merge = false;
            repository.settings.allow_merge_commit = !squash_only;
        }
        Ok(())
    });
    made.map_err(failed)?;
    Ok(fake)
}

/// The adapter, as a host makes it for any GitHub.
fn adapter(fake: &FakeGitHub, clock: Arc<SystemClock>) -> Result<GitHub, Failure> {
    let host = ForgeHost::with_api(WEB_HOST, Product::Dotcom, &fake.rest(), &fake.graphql());
    let host = host.map_err(|error| Failure::NotReady(error.to_string()))?;
    let source = KnownToken::new("the example's token", &host, Token::new(TOWN_TOKEN));
    let chain = CredentialChain::new([Arc::new(source) as Arc<dyn CredentialSource>]);
    let config = GitHubConfig {
        hosts: AllowedHosts::new([host]),
        ..GitHubConfig::default()
    };
    let transport = Arc::new(api::Loopback);
    Ok(GitHub::new(
        config,
        transport,
        Arc::new(RealTime(clock)),
        chain,
    ))
}

/// The time of the town's clock, as the forge's side writes it.
fn calendar(clock: &SystemClock) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(clock.now().as_millis()).unwrap_or_default()
}

struct RealTime(Arc<SystemClock>);

#[async_trait]
impl ForgeClock for RealTime {
    fn now(&self) -> DateTime<Utc> {
        calendar(&self.0)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Every polecat gets the polecats' token.
struct Tokens;

#[async_trait]
impl Credentials for Tokens {
    async fn of_session(
        &self,
        _: &StartRequest,
    ) -> Result<BTreeMap<String, Secret>, CredentialsError> {
        Ok([(TOKEN_VARIABLE.to_owned(), Secret::new(POLECAT_TOKEN))].into())
    }

    async fn of_repository(&self, _: &TownId, _: &str) -> Result<Option<Secret>, CredentialsError> {
        // Git finds the repositories on this machine.
        Ok(None)
    }
}

/// Founds the town: the single issues of the other one, and no convoy.
async fn found(
    store: &dyn Store,
    town_id: &TownId,
    rest: &str,
    git_config: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let policy = Policy {
        pr_poll_interval: Duration::from_secs(1),
        ..setup::policy()
    };
    let mut town = Town::new(town_id.clone(), config(rest, git_config), policy);
    for origin in &ORIGINS {
        let rig = AddRig {
            rig_id: setup::rig_id(origin.rig)?,
            name: origin.rig.into(),
            git_url: format!("https://{WEB_HOST}/{OWNER}/{}.git", origin.rig),
            default_branch: DEFAULT_BRANCH.into(),
            config: Default::default(),
        };
        setup::execute(&mut town, rig, now)?;
    }
    setup::sling_issues(&mut town, now)?;
    setup::save(store, town, now).await
}

/// Merged by the town, by what checks and people on the forge say.
fn config(rest: &str, git_config: &str) -> TownConfig {
    let variables = [
        ("GIT_CONFIG_GLOBAL", git_config),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        (CONFIG_VARIABLE, git_config),
        (REST_VARIABLE, rest),
    ];
    TownConfig {
        merge_strategy: Some(MergeStrategy::Pr),
        refinery: RefineryConfig {
            code_review: Some(false),
            auto_merge: Some(true),
            auto_merge_delay_minutes: Some(AutoMergeDelay::After(GRACE)),
            auto_resolve_pr_feedback: Some(true),
            auto_resolve_merge_conflicts: Some(true),
            ..RefineryConfig::default()
        },
        env_vars: variables
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..setup::config()
    }
}
