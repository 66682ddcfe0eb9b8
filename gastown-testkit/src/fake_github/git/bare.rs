//! A bare repository on disk, by git's own commands.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::memory::{PERSON, SECOND};
use super::{Git, Merged};
use crate::fake_github::FakeError;

/// See the module.
#[derive(Debug)]
pub(in crate::fake_github) struct Bare {
    path: PathBuf,
}

impl Bare {
    /// Makes a repository where none is, and takes over one that is there.
    pub(in crate::fake_github) fn make(path: &Path) -> Result<Self, FakeError> {
        let path = path.to_owned();
        std::fs::create_dir_all(&path)
            .map_err(|source| FakeError::new(format!("{}: {source}", path.display())))?;
        let repository = Self { path };
        repository.run(&["init", "--quiet", "--bare"])?;
        Ok(repository)
    }

    fn run(&self, args: &[&str]) -> Result<String, FakeError> {
        self.run_with(args, "", &[])
    }

    fn run_with(
        &self,
        args: &[&str],
        input: &str,
        environment: &[(&str, &Path)],
    ) -> Result<String, FakeError> {
        let output = self.output(args, input, environment)?;
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            let stderr = text(&output.stderr);
            Err(FakeError::new(format!("git {}: {stderr}", args.join(" "))))
        }
    }

    fn output(
        &self,
        args: &[&str],
        input: &str,
        environment: &[(&str, &Path)],
    ) -> Result<Output, FakeError> {
        let failed =
            |source: std::io::Error| FakeError::new(format!("could not run git: {source}"));
        let (name, mail) = PERSON.split_once(" <").unwrap_or((PERSON, ""));
        let mail = mail.trim_end_matches('>');
        let second = format!("{SECOND} +0000");
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(args);
        // Nothing depends on what the machine's owner has configured.
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LC_ALL", "C");
        for pointer in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(pointer);
        }
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), name)
                .env(format!("GIT_{role}_EMAIL"), mail)
                .env(format!("GIT_{role}_DATE"), &second);
        }
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        child.wait_with_output().map_err(failed)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

impl Git for Bare {
    fn branches(&self) -> Result<BTreeMap<String, String>, FakeError> {
        let format = "--format=%(objectname) %(refname:lstrip=2)";
        let list = self.run(&["for-each-ref", format, "refs/heads"])?;
        let pairs = list.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(hash, name)| (name.to_owned(), hash.to_owned()))
            .collect())
    }

    fn set_branch(&mut self, name: &str, commit: &str) -> Result<(), FakeError> {
        self.run(&["update-ref", &format!("refs/heads/{name}"), commit])
            .map(drop)
    }

    fn delete_branch(&mut self, name: &str) -> Result<(), FakeError> {
        self.run(&["update-ref", "-d", &format!("refs/heads/{name}")])
            .map(drop)
    }

    fn has(&self, commit: &str) -> bool {
        let named = format!("{commit}^{{commit}}");
        self.run(&["rev-parse", "--verify", "--quiet", &named])
            .is_ok()
    }

    fn tree(&self, commit: &str) -> Result<String, FakeError> {
        self.run(&["rev-parse", &format!("{commit}^{{tree}}")])
    }

    fn parents(&self, commit: &str) -> Result<Vec<String>, FakeError> {
        let line = self.run(&["rev-list", "--parents", "--no-walk", commit])?;
        Ok(line.split(' ').skip(1).map(str::to_owned).collect())
    }

    fn message(&self, commit: &str) -> Result<String, FakeError> {
        self.run(&["log", "--no-walk", "--format=%B", commit])
    }

    fn only_in(&self, head: &str, base: &str) -> Result<Vec<String>, FakeError> {
        let list = self.run(&["rev-list", "--topo-order", head, &format!("^{base}")])?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    fn merge_base(&self, one: &str, other: &str) -> Result<Option<String>, FakeError> {
        let output = self.output(&["merge-base", one, other], "", &[])?;
        Ok(output.status.success().then(|| text(&output.stdout)))
    }

    fn merge(&mut self, base: Option<&str>, ours: &str, theirs: &str) -> Result<Merged, FakeError> {
        let base = base.map(|it| format!("--merge-base={it}"));
        let mut args = vec!["merge-tree", "--write-tree"];
        args.extend(base.as_deref());
        args.extend([ours, theirs]);
        let output = self.output(&args, "", &[])?;
        match output.status.code() {
            Some(0) => Ok(Merged::Tree(text(&output.stdout))),
            Some(1) => Ok(Merged::Conflict),
            Some(_) | None => Err(FakeError::new(text(&output.stderr))),
        }
    }

    fn commit(&mut self, tree: &str, parents: &[&str], message: &str) -> Result<String, FakeError> {
        let mut args = vec!["commit-tree", tree, "-m", message];
        args.extend(parents.iter().flat_map(|it| ["-p", it]));
        self.run(&args)
    }

    fn write(
        &mut self,
        parent: Option<&str>,
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<String, FakeError> {
        // An index of its own: a bare repository has none.
        let index = self.path.join("fake-index");
        let environment = [("GIT_INDEX_FILE", index.as_path())];
        match parent {
            Some(parent) => self.run_with(&["read-tree", parent], "", &environment)?,
            None => self.run_with(&["read-tree", "--empty"], "", &environment)?,
        };
        for (path, text) in files {
            if text.is_empty() {
                // Mode 0 removes; the option that does so wants a work tree.
                let nothing = "0".repeat(40);
                let remove = format!("0 {nothing}\t{path}\n");
                self.run_with(&["update-index", "--index-info"], &remove, &environment)?;
            } else {
                let blob = self.run_with(&["hash-object", "-w", "--stdin"], text, &[])?;
                let entry = format!("100644,{blob},{path}");
                let add = ["update-index", "--add", "--cacheinfo", &entry];
                self.run_with(&add, "", &environment)?;
            }
        }
        let tree = self.run_with(&["write-tree"], "", &environment)?;
        self.commit(&tree, parent.as_slice(), message)
    }
}
