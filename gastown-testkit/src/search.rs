//! An exhaustive search of our own: every state that a small town can reach, by every order of what
//! may happen, with properties that hold *always* and others that hold *sometimes*.
//!
//! What makes it finite and small:
//!
//! - Time moves to the next moment at which the engine would wake up, or by one step of a grid on
//!   which the thresholds of the searched towns lie. Between two deadlines no rule decides anything
//!   (P5); what events compare with the time may differ from one step to the next.
//! - States are compared by what they can still do: times as ages, ages beyond every threshold as
//!   *old*, counters that only grow as *current* or *stale*, engine-made names by their rank.
//! - The number of faults and of human acts along one path is bounded.
//!
//! Only digests of states are remembered. A digest has 128 bits, so that among 10^9 states two
//! share one with a probability of less than 10^-20.
//!
//! A panic is a counterexample as any other (P12), with the path to it.

// Counts of a search stay far below what overflows.
#![allow(clippy::arithmetic_side_effects)]
// What a model or an oracle says nothing of is none of its business.
#![allow(clippy::wildcard_enum_match_arm)]

mod canonical;
mod costs;
mod moves;
mod scattered;
mod scenarios;
mod small_town;
mod sometimes;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

pub use self::scenarios::{Scenario, scenarios};
pub use self::small_town::SmallTown;

use crate::panics::caught;

/// A property that some state must have, by name.
pub type Sometimes<S> = (&'static str, fn(&S) -> bool);

/// What is searched.
pub trait Model {
    /// A state.
    type State: Clone;
    /// One thing that may happen.
    type Move: Clone + core::fmt::Debug;

    /// Where it begins.
    ///
    /// # Errors
    /// What does not hold there.
    fn start(&self) -> Result<Self::State, String>;

    /// Everything that may happen next, in an order that depends on the state alone.
    fn moves(&self, state: &Self::State) -> Vec<Self::Move>;

    /// What comes of it.
    ///
    /// # Errors
    /// What must hold in every step, and does not.
    fn take(&self, state: &Self::State, step: &Self::Move) -> Result<Self::State, String>;

    /// Equal for states that can do the same.
    ///
    /// # Errors
    /// Why the state can't be compared with others.
    fn digest(&self, state: &Self::State) -> Result<u128, String>;

    /// Whether a step counts as a fault, of which the walks of [`Order::Scattered`] take few.
    fn is_fault(&self, _step: &Self::Move) -> bool {
        false
    }

    /// What must hold in every state.
    ///
    /// # Errors
    /// What does not.
    fn always(&self, state: &Self::State) -> Result<(), String>;

    /// The one step of a world in which nothing goes wrong; none when nothing is left to do.
    ///
    /// # Errors
    /// What must hold in every step, and does not.
    fn calm(&self, state: &Self::State) -> Result<Option<Self::State>, String>;

    /// Whether all has ended, or waits for somebody who may take as long as they like.
    fn is_settled(&self, state: &Self::State) -> bool;

    /// Properties that some state must have, else the model shows nothing.
    fn sometimes(&self) -> Vec<Sometimes<Self::State>>;
}

/// In which order states are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The nearest first: counterexamples are short, but more states have to be kept.
    BreadthFirst,
    /// The latest first: few states have to be kept, but a search that is cut has seen one corner.
    DepthFirst,
    /// Depth first from one place after another, each at the end of a walk of its own: few states
    /// have to be kept, and a search that is cut has seen some of everything. It is never complete.
    Scattered,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// States after which it stops.
    pub states_max: usize,
    /// Moves from the beginning beyond which it does not go; none: no end. With the nearest states
    /// first, every state within so many moves is seen.
    pub moves_max: Option<usize>,
    /// In which order.
    pub order: Order,
    /// Steps of a calm world within which every state must settle (P8).
    pub calm_steps_max: usize,
}

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// Distinct states.
    pub states: usize,
    /// Steps taken, whether or not they led to a new state.
    pub steps: usize,
    /// Whether every state that can be reached, within the moves of the limits, was seen.
    pub complete: bool,
    /// The *sometimes* properties that no state had.
    pub never: Vec<&'static str>,
    /// What did not hold, with the moves that lead there.
    pub broken: Option<Broken>,
}

/// A counterexample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What did not hold.
    pub what: String,
    /// The moves that lead there.
    pub path: Vec<String>,
    /// The same as places in the list of each state's moves, for [`replay`].
    pub moves: Vec<usize>,
}

/// Digests are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, value: u128) {
        self.0 = (value >> 64) as u64 ^ value as u64;
    }
}

type Digests = HashSet<u128, BuildHasherDefault<AsItIs>>;

/// A path, shared by all that go on from it.
struct Path<M> {
    moves: usize,
    /// The last move, and its place among those of the state before.
    step: Option<(usize, M)>,
    before: Option<Rc<Path<M>>>,
}

impl<M> Path<M> {
    const START: Self = Self {
        moves: 0,
        step: None,
        before: None,
    };
}

impl<M: core::fmt::Debug> Path<M> {
    fn broken(&self, what: String) -> Broken {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.extend(&path.step);
            at = path.before.as_deref();
        }
        steps.reverse();
        Broken {
            what,
            path: steps.iter().map(|(_, step)| format!("{step:?}")).collect(),
            moves: steps.iter().map(|(place, _)| *place).collect(),
        }
    }
}

/// A state, and the way to it.
type Place<T> = (<T as Model>::State, Rc<Path<<T as Model>::Move>>);

struct Search<'a, T: Model> {
    model: &'a T,
    limits: Limits,
    seen: Digests,
    /// States from which a calm world is known to settle.
    settles: Digests,
    never: Vec<Sometimes<T::State>>,
    steps: usize,
}

/// Searches a model.
pub fn search<T: Model>(model: &T, limits: Limits) -> Found {
    let mut search = Search::new(model, limits);
    let outcome = search.run();
    let (complete, broken) = match outcome {
        Ok(complete) => (complete, None),
        Err(broken) => (false, Some(broken)),
    };
    Found {
        states: search.seen.len(),
        steps: search.steps,
        complete,
        never: search.never.iter().map(|(name, _)| *name).collect(),
        broken,
    }
}

/// Goes one path, the [`Broken::moves`] of a counterexample, and demands in each of its states what a
/// search does. `calm_steps_max` is that of [`Limits`].
///
/// # Errors
/// What does not hold, with the moves so far; or that a state has no move at that place, as after a
/// change of the engine or of the model.
pub fn replay<T: Model>(
    model: &T,
    moves: &[usize],
    calm_steps_max: usize,
) -> Result<T::State, Broken> {
    let limits = Limits {
        states_max: usize::MAX,
        moves_max: None,
        order: Order::DepthFirst,
        calm_steps_max,
    };
    let mut search = Search::new(model, limits);
    let (mut state, mut path) = search.start()?;
    for place in moves {
        let all = search.moves(&state, &path)?;
        let step = all
            .get(*place)
            .ok_or_else(|| path.broken(format!("there is no move {place}, only {}", all.len())))?;
        ((state, path), _) = search.step(&state, &path, (*place, step))?;
    }
    Ok(state)
}

impl<'a, T: Model> Search<'a, T> {
    fn new(model: &'a T, limits: Limits) -> Self {
        Self {
            model,
            limits,
            seen: Digests::default(),
            settles: Digests::default(),
            never: model.sometimes(),
            steps: 0,
        }
    }

    fn start(&mut self) -> Result<Place<T>, Broken> {
        let root = Path::START;
        let start = caught(|| self.model.start()).map_err(|what| root.broken(what))?;
        self.is_new(&start, &root)?;
        Ok((start, Rc::new(root)))
    }

    fn run(&mut self) -> Result<bool, Broken> {
        let start = self.start()?;
        match self.limits.order {
            Order::Scattered => self.scattered(&start),
            Order::BreadthFirst | Order::DepthFirst => self.all_from(start, self.limits.states_max),
        }
    }

    /// Visits what can be reached from a state, until so many states are known; says whether that
    /// is everything.
    fn all_from(&mut self, from: Place<T>, states_max: usize) -> Result<bool, Broken> {
        let breadth_first = self.limits.order == Order::BreadthFirst;
        // Depth first, a state at the limit may be nearer by another way.
        let mut is_cut = false;
        let mut ahead = VecDeque::from([from]);
        loop {
            let next = match breadth_first {
                true => ahead.pop_front(),
                false => ahead.pop_back(),
            };
            let Some((state, path)) = next else {
                return Ok(breadth_first || !is_cut);
            };
            if self.limits.moves_max.is_some_and(|max| path.moves >= max) {
                is_cut = true;
                continue;
            }
            for (n, step) in self.moves(&state, &path)?.iter().enumerate() {
                let (place, is_new) = self.step(&state, &path, (n, step))?;
                // The last states, which are most, need not be kept.
                let is_last = self
                    .limits
                    .moves_max
                    .is_some_and(|max| place.1.moves >= max);
                match is_last {
                    true => is_cut |= is_new,
                    false if is_new => ahead.push_back(place),
                    false => {}
                }
                if self.seen.len() >= states_max {
                    return Ok(false);
                }
            }
        }
    }

    /// Takes a step; says where it leads, and whether nobody has been there.
    fn step(
        &mut self,
        state: &T::State,
        path: &Rc<Path<T::Move>>,
        (place, step): (usize, &T::Move),
    ) -> Result<(Place<T>, bool), Broken> {
        self.steps += 1;
        let path = Path {
            moves: path.moves + 1,
            step: Some((place, step.clone())),
            before: Some(path.clone()),
        };
        let after = caught(|| self.model.take(state, step));
        let after = after.map_err(|what| path.broken(what))?;
        let is_new = self.is_new(&after, &path)?;
        Ok(((after, Rc::new(path)), is_new))
    }

    /// What may happen next at the end of a path.
    fn moves(&self, state: &T::State, path: &Path<T::Move>) -> Result<Vec<T::Move>, Broken> {
        caught(|| Ok(self.model.moves(state))).map_err(|what| path.broken(what))
    }

    /// Notes a state, and checks it if it is new.
    fn is_new(&mut self, state: &T::State, path: &Path<T::Move>) -> Result<bool, Broken> {
        caught(|| self.checks(state)).map_err(|what| path.broken(what))
    }

    fn checks(&mut self, state: &T::State) -> Result<bool, String> {
        let digest = self.model.digest(state)?;
        if !self.seen.insert(digest) {
            return Ok(false);
        }
        self.model.always(state)?;
        self.never.retain(|(_, holds)| !holds(state));
        self.settles(state, digest)?;
        Ok(true)
    }

    /// P8: from here, a calm world settles. What was found out for one state holds for all that led
    /// to it, so that each state is proven once.
    fn settles(&mut self, state: &T::State, mut digest: u128) -> Result<(), String> {
        let mut chain = Vec::new();
        let mut at = Cow::Borrowed(state);
        while !self.settles.contains(&digest) {
            chain.push(digest);
            if self.model.is_settled(&at) {
                break;
            }
            if chain.len() > self.limits.calm_steps_max {
                return Err(format!(
                    "P8: a calm world has not settled after {} steps",
                    self.limits.calm_steps_max
                ));
            }
            match self.model.calm(&at)? {
                Some(next) => at = Cow::Owned(next),
                None => return Err("P8: a calm world stands still and has not settled".into()),
            }
            digest = self.model.digest(&at)?;
        }
        self.settles.extend(chain);
        Ok(())
    }
}
