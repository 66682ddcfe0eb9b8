//! A repository in memory. Merging looks at whole files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::{Git, Merged};
use crate::fake_github::FakeError;

/// Who makes commits, and when: always the same, so that hashes depend on the content alone.
pub(super) const PERSON: &str = "Fake GitHub <noreply@github.invalid>";
pub(super) const SECOND: u64 = 1_700_000_000;

type Files = BTreeMap<String, String>;

#[derive(Clone, Debug)]
struct Commit {
    tree: String,
    parents: Vec<String>,
    message: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::fake_github) struct Memory {
    commits: BTreeMap<String, Commit>,
    trees: BTreeMap<String, Arc<Files>>,
    branches: BTreeMap<String, String>,
}

impl Memory {
    fn find(&self, commit: &str) -> Result<&Commit, FakeError> {
        self.commits
            .get(commit)
            .ok_or_else(|| FakeError::new(format!("there is no commit {commit}")))
    }

    fn files(&self, commit: &str) -> Result<Arc<Files>, FakeError> {
        let tree = &self.find(commit)?.tree;
        self.trees
            .get(tree)
            .cloned()
            .ok_or_else(|| FakeError::new(format!("there is no tree {tree}")))
    }

    /// A commit and everything before it.
    fn history(&self, commit: &str) -> Result<BTreeSet<String>, FakeError> {
        let mut found = BTreeSet::new();
        let mut open = vec![commit.to_owned()];
        while let Some(next) = open.pop() {
            if found.insert(next.clone()) {
                open.extend(self.find(&next)?.parents.iter().cloned());
            }
        }
        Ok(found)
    }

    fn keep(&mut self, files: Files) -> String {
        let entries: Vec<(&str, &str)> = files.iter().map(|(a, b)| (&**a, &**b)).collect();
        let tree = tree_hash(&entries);
        self.trees.insert(tree.clone(), Arc::new(files));
        tree
    }

    /// File by file; none where both sides changed one.
    fn merged(base: &Files, ours: &Files, theirs: &Files) -> Option<Files> {
        let paths: BTreeSet<&String> = base
            .keys()
            .chain(ours.keys())
            .chain(theirs.keys())
            .collect();
        let mut merged = Files::new();
        for path in paths {
            let (was, mine, other) = (base.get(path), ours.get(path), theirs.get(path));
            let now = if mine == other || other == was {
                mine
            } else if mine == was {
                other
            } else {
                return None;
            };
            if let Some(text) = now {
                merged.insert(path.clone(), text.clone());
            }
        }
        Some(merged)
    }
}

impl Git for Memory {
    fn branches(&self) -> Result<BTreeMap<String, String>, FakeError> {
        Ok(self.branches.clone())
    }

    fn set_branch(&mut self, name: &str, commit: &str) -> Result<(), FakeError> {
        self.find(commit)?;
        self.branches.insert(name.to_owned(), commit.to_owned());
        Ok(())
    }

    fn delete_branch(&mut self, name: &str) -> Result<(), FakeError> {
        self.branches.remove(name);
        Ok(())
    }

    fn has(&self, commit: &str) -> bool {
        self.commits.contains_key(commit)
    }

    fn tree(&self, commit: &str) -> Result<String, FakeError> {
        Ok(self.find(commit)?.tree.clone())
    }

    fn parents(&self, commit: &str) -> Result<Vec<String>, FakeError> {
        Ok(self.find(commit)?.parents.clone())
    }

    fn message(&self, commit: &str) -> Result<String, FakeError> {
        Ok(self.find(commit)?.message.clone())
    }

    fn only_in(&self, head: &str, base: &str) -> Result<Vec<String>, FakeError> {
        let known = self.history(base)?;
        let mut found = Vec::new();
        let mut open = vec![head.to_owned()];
        while let Some(next) = open.pop() {
            if known.contains(&next) || found.contains(&next) {
                continue;
            }
            // The first parent is looked at first: the order of a straight line is its own.
            open.extend(self.find(&next)?.parents.iter().rev().cloned());
            found.push(next);
        }
        Ok(found)
    }

    fn merge_base(&self, one: &str, other: &str) -> Result<Option<String>, FakeError> {
        let known = self.history(one)?;
        let both: BTreeSet<String> = self.history(other)?.intersection(&known).cloned().collect();
        // The best one is an ancestor of no other.
        for candidate in &both {
            let mut is_best = true;
            for rival in both.iter().filter(|it| *it != candidate) {
                is_best &= !self.history(rival)?.contains(candidate);
            }
            if is_best {
                return Ok(Some(candidate.clone()));
            }
        }
        Ok(None)
    }

    fn merge(&mut self, base: Option<&str>, ours: &str, theirs: &str) -> Result<Merged, FakeError> {
        let base = match base {
            Some(base) => self.files(base)?,
            None => Arc::default(),
        };
        let (ours, theirs) = (self.files(ours)?, self.files(theirs)?);
        Ok(match Self::merged(&base, &ours, &theirs) {
            Some(files) => Merged::Tree(self.keep(files)),
            None => Merged::Conflict,
        })
    }

    fn commit(&mut self, tree: &str, parents: &[&str], message: &str) -> Result<String, FakeError> {
        let mut text = format!("tree {tree}\n");
        for parent in parents {
            self.find(parent)?;
            text.push_str(&format!("parent {parent}\n"));
        }
        for role in ["author", "committer"] {
            text.push_str(&format!("{role} {PERSON} {SECOND} +0000\n"));
        }
        text.push_str(&format!("\n{message}\n"));
        let commit = hash("commit", text.as_bytes());
        self.commits.insert(
            commit.clone(),
            Commit {
                tree: tree.to_owned(),
                parents: parents.iter().map(|it| (*it).to_owned()).collect(),
                message: message.to_owned(),
            },
        );
        Ok(commit)
    }

    fn write(
        &mut self,
        parent: Option<&str>,
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<String, FakeError> {
        let mut all = match parent {
            Some(parent) => (*self.files(parent)?).clone(),
            None => Files::new(),
        };
        for (path, text) in files {
            if text.is_empty() {
                all.remove(*path);
            } else {
                all.insert((*path).to_owned(), (*text).to_owned());
            }
        }
        let tree = self.keep(all);
        self.commit(&tree, parent.as_slice(), message)
    }
}

/// The hash of git's object for a tree of these files, which come sorted by path.
fn tree_hash(files: &[(&str, &str)]) -> String {
    // Git sorts a directory as if its name ended with a slash.
    let mut entries: BTreeMap<String, (&str, &str, String)> = BTreeMap::new();
    let mut below: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in files {
        match path.split_once('/') {
            Some((directory, rest)) => below.entry(directory).or_default().push((rest, text)),
            None => {
                let blob = hash("blob", text.as_bytes());
                entries.insert((*path).to_owned(), ("100644", path, blob));
            }
        }
    }
    for (directory, files) in &below {
        let tree = tree_hash(files);
        entries.insert(format!("{directory}/"), ("40000", directory, tree));
    }
    let mut content = Vec::new();
    for (mode, name, hash) in entries.values() {
        content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        content.extend(bytes_of(hash));
    }
    hash("tree", &content)
}

fn hash(kind: &str, content: &[u8]) -> String {
    let mut sha = Sha1::new();
    sha.update(format!("{kind} {}\0", content.len()));
    sha.update(content);
    let digits = sha.finalize();
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hash: &str) -> impl Iterator<Item = u8> + '_ {
    let pairs = hash.as_bytes().chunks(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
}
