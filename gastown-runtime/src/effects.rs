//! Effects: prepared by the town's loop, run beside it with limits and deadlines, finished in the
//! store (spec 2.4, 6.2).

mod limits;
mod prepare;
mod run;
mod shares;

pub use self::limits::EffectLimits;
pub(crate) use self::limits::{Limits, TownPlaces};
pub(crate) use self::prepare::{Prepared, prepare};
pub(crate) use self::run::{Performer, Workshop};
