//! The commits and branches of a repository: in memory, or in a bare repository on disk that git
//! itself can push to and fetch from. Hashes are git's own in both.

mod bare;
mod memory;

use std::collections::BTreeMap;

pub(super) use self::bare::Bare;
pub(super) use self::memory::Memory;
use super::FakeError;

/// What came of merging two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// The tree that has both.
    Tree(String),
    /// They change the same things differently.
    Conflict,
}

/// Commits and branches.
pub(super) trait Git: Send {
    /// Every branch with its newest commit.
    fn branches(&self) -> Result<BTreeMap<String, String>, FakeError>;
    /// Points a branch to a commit, wherever it pointed before.
    fn set_branch(&mut self, name: &str, commit: &str) -> Result<(), FakeError>;
    /// Removes a branch.
    fn delete_branch(&mut self, name: &str) -> Result<(), FakeError>;
    /// Whether there is such a commit.
    fn has(&self, commit: &str) -> bool;
    /// The tree of a commit.
    fn tree(&self, commit: &str) -> Result<String, FakeError>;
    /// The parents of a commit.
    fn parents(&self, commit: &str) -> Result<Vec<String>, FakeError>;
    /// Its message.
    fn message(&self, commit: &str) -> Result<String, FakeError>;
    /// Commits that `head` has and `base` has not, newest first.
    fn only_in(&self, head: &str, base: &str) -> Result<Vec<String>, FakeError>;
    /// The best common ancestor.
    fn merge_base(&self, one: &str, other: &str) -> Result<Option<String>, FakeError>;
    /// Merges two commits, of which `base` is where they parted.
    fn merge(&mut self, base: Option<&str>, ours: &str, theirs: &str) -> Result<Merged, FakeError>;
    /// Makes a commit.
    fn commit(&mut self, tree: &str, parents: &[&str], message: &str) -> Result<String, FakeError>;
    /// Makes a commit that writes files on top of its parent; an empty text removes one.
    fn write(
        &mut self,
        parent: Option<&str>,
        files: &[(&str, &str)],
        message: &str,
    ) -> Result<String, FakeError>;
}

/// Whether everything of `commit` is in `whole`.
pub(super) fn contains(git: &dyn Git, whole: &str, commit: &str) -> Result<bool, FakeError> {
    Ok(git.only_in(commit, whole)?.is_empty())
}

/// Merges the head of a pull request into its base.
pub(super) fn merge_heads(git: &mut dyn Git, base: &str, head: &str) -> Result<Merged, FakeError> {
    let common = git.merge_base(base, head)?;
    git.merge(common.as_deref(), base, head)
}

/// Makes the commits of `head` anew on `base`; none where that conflicts.
pub(super) fn rebase(
    git: &mut dyn Git,
    base: &str,
    head: &str,
) -> Result<Option<String>, FakeError> {
    let mut onto = base.to_owned();
    for commit in git.only_in(head, base)?.iter().rev() {
        let parents = git.parents(commit)?;
        // Merges bring nothing of their own.
        if parents.len() > 1 {
            continue;
        }
        let parent = parents.first().map(String::as_str);
        let Merged::Tree(tree) = git.merge(parent, &onto, commit)? else {
            return Ok(None);
        };
        let message = git.message(commit)?;
        onto = git.commit(&tree, &[&onto], &message)?;
    }
    Ok(Some(onto))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory and disk have to agree, hashes included.
    fn both(test: fn(&mut dyn Git) -> Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let mut bare = Bare::make(dir.path()).unwrap();
        let in_memory = test(&mut Memory::default());
        assert_eq!(in_memory, test(&mut bare));
        assert!(!in_memory.is_empty());
    }

    #[test]
    fn hashes_are_those_of_git() {
        both(|git| {
            let first = git
                .write(None, &[("a.txt", "a\n"), ("lib/b.txt", "b\n")], "Begin")
                .unwrap();
            let files = [("lib/c/d.txt", "d\n"), ("lib.txt", "x\n"), ("a.txt", "")];
            let second = git.write(Some(&first), &files, "More").unwrap();
            let trees = [&first, &second].map(|it| git.tree(it).unwrap());
            git.set_branch("a/b", &second).unwrap();
            let branches = format!("{:?}", git.branches().unwrap());
            let parents = git.parents(&second).unwrap().concat();
            let message = git.message(&second).unwrap();
            assert!(git.has(&first) && !git.has("0123456789012345678901234567890123456789"));
            vec![first, second, branches, parents, message]
                .into_iter()
                .chain(trees)
                .collect()
        });
    }

    #[test]
    fn merges_are_those_of_git() {
        both(|git| {
            let first = git
                .write(None, &[("a", "1\n"), ("b", "1\n")], "Begin")
                .unwrap();
            let ours = git.write(Some(&first), &[("a", "2\n")], "Ours").unwrap();
            let theirs = git.write(Some(&first), &[("b", "2\n")], "Theirs").unwrap();
            let against = git.write(Some(&first), &[("a", "3\n")], "Against").unwrap();
            assert_eq!(git.merge_base(&ours, &theirs).unwrap(), Some(first.clone()));
            assert!(contains(git, &ours, &first).unwrap());
            assert!(!contains(git, &first, &ours).unwrap());
            assert_eq!(merge_heads(git, &ours, &against).unwrap(), Merged::Conflict);
            assert_eq!(rebase(git, &ours, &against).unwrap(), None);
            let Merged::Tree(tree) = merge_heads(git, &ours, &theirs).unwrap() else {
                panic!("a conflict")
            };
            let merge = git.commit(&tree, &[&ours, &theirs], "Merge").unwrap();
            assert_eq!(git.only_in(&merge, &ours).unwrap().len(), 2);
            let moved = rebase(git, &ours, &theirs).unwrap().unwrap();
            assert_eq!(git.tree(&moved).unwrap(), tree);
            vec![merge, moved, tree]
        });
    }
}
