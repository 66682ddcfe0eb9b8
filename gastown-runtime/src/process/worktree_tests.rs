use super::*;
use crate::testing::{Origin, start_request};

struct Bench {
    _dir: tempfile::TempDir,
    origin: Origin,
    worktrees: Worktrees,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            origin: Origin::new(&dir.path().join("origin")),
            worktrees: Worktrees::new(Git::default(), dir.path().join("run"), None),
            _dir: dir,
        }
    }

    fn request(&self, agent: &str, branch: &str) -> StartRequest {
        let mut request = start_request("t1", agent, 1);
        request.git_url = self.origin.url();
        request.branch = branch.into();
        request
    }

    async fn prepare(&self, agent: &str, branch: &str) -> PathBuf {
        self.prepare_while(&self.request(agent, branch), &[]).await
    }

    async fn prepare_while(&self, request: &StartRequest, running: &[&str]) -> PathBuf {
        let is_running = |agent: &AgentId| running.contains(&agent.as_str());
        self.worktrees
            .prepare(request, &GitAccess::none(), is_running)
            .await
            .unwrap()
    }

    async fn review(&self, agent: &str, branch: &str) -> PathBuf {
        let mut request = self.request(agent, branch);
        request.role = Role::Refinery;
        self.prepare_while(&request, &[]).await
    }
}

fn git(path: &Path, args: &[&str]) -> String {
    crate::testing::git(path, args)
}

fn head_branch(path: &Path) -> String {
    git(path, &["rev-parse", "--abbrev-ref", "HEAD"])
}

fn commit(path: &Path, file: &str, text: &str) {
    fs::write(path.join(file), text).unwrap();
    git(path, &["add", "."]);
    git(path, &["commit", "-q", "-m", file]);
}

#[tokio::test]
async fn new_work_begins_at_the_target_and_pushed_work_is_continued() {
    let bench = Bench::new();
    let first = bench.prepare("a1", "gt/a1/b1").await;
    assert_eq!(head_branch(&first), "gt/a1/b1");
    commit(&first, "a.txt", "one");
    git(&first, &["push", "-q", "origin", "gt/a1/b1"]);
    // Another agent takes over; its worktree has what was pushed.
    let second = bench.prepare("a2", "gt/a1/b1").await;
    assert_eq!(head_branch(&second), "gt/a1/b1");
    assert_eq!(fs::read_to_string(second.join("a.txt")).unwrap(), "one");
    assert_eq!(head_branch(&first), "HEAD", "the first let go of it");
}

#[tokio::test]
async fn work_that_a_crash_interrupted_is_still_there() {
    let bench = Bench::new();
    let path = bench.prepare("a1", "gt/a1/b1").await;
    commit(&path, "done.txt", "committed, not pushed");
    fs::write(path.join("half.txt"), "not committed").unwrap();
    let git_dir = PathBuf::from(git(&path, &["rev-parse", "--absolute-git-dir"]));
    fs::write(git_dir.join("index.lock"), "").unwrap();
    assert_eq!(bench.prepare("a1", "gt/a1/b1").await, path);
    assert!(path.join("done.txt").exists() && path.join("half.txt").exists());
    git(&path, &["add", "."]);
}

#[tokio::test]
async fn other_work_begins_clean_and_what_was_left_is_found_on_its_branch() {
    let bench = Bench::new();
    let path = bench.prepare("a1", "gt/a1/b1").await;
    fs::write(path.join("half.txt"), "not committed").unwrap();
    bench.prepare("a1", "gt/a1/b2").await;
    assert_eq!(head_branch(&path), "gt/a1/b2");
    assert!(!path.join("half.txt").exists());
    let other = bench.prepare("a2", "gt/a1/b1").await;
    assert_eq!(
        fs::read_to_string(other.join("half.txt")).unwrap(),
        "not committed"
    );
}

#[tokio::test]
async fn a_worktree_of_an_agent_that_runs_is_left_alone() {
    let bench = Bench::new();
    let running = bench.prepare("a1", "gt/a1/b1").await;
    commit(&running, "a.txt", "one");
    fs::write(running.join("half.txt"), "being written").unwrap();
    let request = bench.request("a2", "gt/a1/b1");
    let other = bench.prepare_while(&request, &["a1"]).await;
    assert_eq!(head_branch(&running), "gt/a1/b1");
    assert!(running.join("half.txt").exists());
    assert!(other.join("a.txt").exists() && !other.join("half.txt").exists());
}

#[tokio::test]
async fn a_refinery_sees_what_was_pushed_and_nothing_else() {
    let bench = Bench::new();
    let author = bench.prepare("a1", "gt/a1/b1").await;
    commit(&author, "a.txt", "pushed");
    git(&author, &["push", "-q", "origin", "gt/a1/b1"]);
    commit(&author, "b.txt", "not pushed");
    let reviewer = bench.review("ref", "gt/a1/b1").await;
    assert_eq!(head_branch(&reviewer), "HEAD");
    assert!(reviewer.join("a.txt").exists() && !reviewer.join("b.txt").exists());
    // It is cut off in the middle of a merge that conflicts; the next one begins clean.
    bench.origin.commit("main", "a.txt", "of somebody else");
    git(&reviewer, &["fetch", "-q", "origin"]);
    crate::testing::git_fails(&reviewer, &["merge", "origin/main"]);
    bench.review("ref", "gt/a1/b1").await;
    assert_eq!(git(&reviewer, &["status", "--porcelain"]), "");
    assert_eq!(
        fs::read_to_string(reviewer.join("a.txt")).unwrap(),
        "pushed"
    );
}

#[tokio::test]
async fn what_was_pushed_wins_over_another_agents_unpushed_work() {
    let bench = Bench::new();
    let first = bench.prepare("a1", "shared").await;
    commit(&first, "a.txt", "one");
    git(&first, &["push", "-q", "origin", "shared"]);
    commit(&first, "unpushed.txt", "lost?");
    let unpushed = git(&first, &["rev-parse", "HEAD"]);
    bench.origin.commit("shared", "b.txt", "two");
    let second = bench.prepare("a2", "shared").await;
    assert!(second.join("b.txt").exists() && !second.join("unpushed.txt").exists());
    let saved = git(&second, &["rev-parse", "refs/gastown/saved/a2"]);
    assert_eq!(saved, unpushed);
}

#[tokio::test]
async fn a_worktree_whose_making_was_cut_off_is_made_again() {
    let bench = Bench::new();
    let path = bench.prepare("a1", "gt/a1/b1").await;
    fs::remove_file(path.with_extension("ready")).unwrap();
    fs::remove_file(path.join("README.md")).unwrap();
    bench.prepare("a1", "gt/a1/b1").await;
    assert!(path.join("README.md").exists());
}

#[tokio::test]
async fn a_missing_target_and_names_that_are_options_are_refused() {
    let bench = Bench::new();
    let mut request = bench.request("a1", "gt/a1/b1");
    request.target_branch = "nowhere".into();
    let refused = |request: StartRequest| async move {
        let none = GitAccess::none();
        let result = bench.worktrees.prepare(&request, &none, |_| false).await;
        (bench, result.unwrap_err().to_string())
    };
    let (bench, error) = refused(request).await;
    assert_eq!(error, "target branch \"nowhere\" is not on the origin");
    let request = bench.request("a1", "--upload-pack=evil");
    let result = bench
        .worktrees
        .prepare(&request, &GitAccess::none(), |_| false)
        .await;
    assert_eq!(
        result.unwrap_err().to_string(),
        "branch \"--upload-pack=evil\" begins with a dash"
    );
}

#[test]
fn names_of_worktrees_lead_back_to_their_agents() {
    for id in ["a1", "../x", "a/b", "a%2Fb", "%25", "t:1\\2"] {
        let name = file_name("agent id", id).unwrap();
        assert_eq!(unescape(&name), id);
    }
}

impl Bench {
    async fn save(&self, agent: &str) -> gastown_core::SavedWork {
        let (town, agent): (TownId, AgentId) = ("t1".parse().unwrap(), agent.parse().unwrap());
        let origin = self.worktrees.origin(&town, &agent).await.unwrap().unwrap();
        assert_eq!(origin.git_url, self.origin.url());
        let access = GitAccess::none();
        let place = self.worktrees.place_to_save(&town, &origin).await.unwrap();
        let saved = self.worktrees.save(&town, &agent, &origin, &access, place);
        saved.await.unwrap()
    }

    /// A file of a reference of the origin.
    fn pushed(&self, reference: &str, file: &str) -> String {
        let bare = PathBuf::from(self.origin.url());
        git(&bare, &["show", &format!("{reference}:{file}")])
    }
}

#[tokio::test]
async fn before_the_machine_goes_away_work_is_pushed_committed_or_not() {
    let bench = Bench::new();
    let path = bench.prepare("a1", "gt/a1/b1").await;
    // Nothing was done yet: there is no branch to name.
    assert_eq!(bench.save("a1").await.branch, None);
    commit(&path, "done.txt", "committed");
    fs::write(path.join("half.txt"), "not committed").unwrap();
    // It was killed in the middle of a commit.
    let git_dir = PathBuf::from(git(&path, &["rev-parse", "--absolute-git-dir"]));
    fs::write(git_dir.join("index.lock"), "").unwrap();
    let saved = bench.save("a1").await;
    assert_eq!(saved.branch.as_deref(), Some("gt/a1/b1"));
    assert_eq!(saved.aside, None);
    assert_eq!(bench.pushed("gt/a1/b1", "done.txt"), "committed");
    assert_eq!(bench.pushed("gt/a1/b1", "half.txt"), "not committed");
    assert_eq!(saved.commit.unwrap(), bench.origin.head("gt/a1/b1"));
    // Saving again changes nothing, and still says where it is.
    let again = bench.save("a1").await;
    assert_eq!(again.branch.as_deref(), Some("gt/a1/b1"));
}

#[tokio::test]
async fn what_the_origin_has_moved_on_or_does_not_fit_is_pushed_beside_it() {
    let bench = Bench::new();
    let path = bench.prepare("a1", "gt/a1/b1").await;
    commit(&path, "mine.txt", "mine");
    git(&path, &["push", "-q", "origin", "gt/a1/b1"]);
    let theirs = bench.origin.commit("gt/a1/b1", "theirs.txt", "theirs");
    commit(&path, "mine.txt", "mine, later");
    let saved = bench.save("a1").await;
    let aside = saved.aside.unwrap();
    assert_eq!(saved.branch, None);
    assert_eq!(bench.pushed(&aside, "mine.txt"), "mine, later");
    assert_eq!(bench.origin.head("gt/a1/b1"), theirs, "left alone");

    // In the middle of a rebase with a conflict, what is there fits onto no branch.
    let path = bench.prepare("a2", "gt/a2/b2").await;
    commit(&path, "README.md", "mine");
    bench.origin.commit("main", "README.md", "theirs");
    git(&path, &["fetch", "-q", "origin"]);
    crate::testing::git_fails(&path, &["rebase", "-q", "origin/main"]);
    fs::write(path.join("README.md"), "half resolved").unwrap();
    let saved = bench.save("a2").await;
    assert_eq!(
        bench.pushed(&saved.aside.unwrap(), "README.md"),
        "half resolved"
    );
    assert_eq!(saved.branch.as_deref(), Some("gt/a2/b2"));
    assert_eq!(bench.pushed("gt/a2/b2", "README.md"), "mine");
}

#[tokio::test]
async fn a_refinery_has_nothing_to_save_and_the_worktree_of_an_agent_that_is_gone_goes() {
    let bench = Bench::new();
    bench.origin.commit("gt/a1/b1", "a.txt", "one");
    let path = bench.review("a3", "gt/a1/b1").await;
    let saved = bench.save("a3").await;
    assert_eq!((saved.branch, saved.aside), (None, None));
    let (town, agent): (TownId, AgentId) = ("t1".parse().unwrap(), "a3".parse().unwrap());
    assert_eq!(bench.worktrees.agents(&town), std::slice::from_ref(&agent));
    bench.worktrees.remove(&town, &agent).await.unwrap();
    assert!(!path.exists());
    assert_eq!(bench.worktrees.agents(&town), []);
    // Removing what is gone changes nothing; another one may have the name again.
    bench.worktrees.remove(&town, &agent).await.unwrap();
    bench.review("a3", "gt/a1/b1").await;
}
