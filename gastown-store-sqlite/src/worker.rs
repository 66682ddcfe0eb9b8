//! A thread that owns one connection and runs jobs on it, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use futures_channel::oneshot;
use gastown_core::{BackendFailure, StoreError};
use rusqlite::Connection;

use crate::failure::{Failure, backend};

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Jobs that may wait for the thread; beyond that a caller is told that it is busy.
pub(crate) const JOBS_MAX: usize = 4096;

/// Dropping it runs the jobs that wait, closes the connection and ends the thread.
#[derive(Debug)]
pub(crate) struct Worker {
    place: Arc<str>,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread that owns what `connect` gives. Whoever stops waiting waits for nothing: the
    /// thread ends by itself once `connect` has.
    pub(crate) async fn start(
        name: &str,
        place: Arc<str>,
        connect: impl FnOnce() -> Result<Connection, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel::<Job>(JOBS_MAX);
        let (answer, opened) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(name.to_string())
            .spawn(move || match connect() {
                // Without anybody who waits for the answer, `queue` ends at once.
                Ok(connection) => {
                    let _ = answer.send(Ok(()));
                    serve(connection, &queue);
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                }
            })
            .map_err(|error| backend("open", &place, BackendFailure::Unavailable, false, error))?;
        match opened.await {
            // Only now: dropping a worker waits for its thread, and a file may take long to open.
            Ok(Ok(())) => Ok(Self {
                place,
                jobs: Some(jobs),
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(did_not_end("open", &place)),
        }
    }

    /// Runs a job and waits for its answer. The job runs even if nobody waits any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        job: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let boxed: Job = Box::new(move |connection| {
            let _ = answer.send(job(connection));
        });
        let Some(jobs) = &self.jobs else {
            return Err(self.gone(operation));
        };
        match jobs.try_send(boxed) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(self.overrun(operation)),
            Err(TrySendError::Disconnected(_)) => return Err(self.gone(operation)),
        }
        match answered.await {
            Ok(result) => result.map_err(|failure| failure.at(operation, &self.place)),
            Err(_) => Err(self.gone(operation)),
        }
    }

    fn overrun(&self, operation: &'static str) -> StoreError {
        let problem = std::io::Error::other(format!("{JOBS_MAX} jobs wait already"));
        backend(operation, &self.place, BackendFailure::Busy, false, problem)
    }

    fn gone(&self, operation: &'static str) -> StoreError {
        did_not_end(operation, &self.place)
    }
}

/// Runs one job on a connection that is closed after it, on a thread that nobody has to wait for: it
/// ends with its job, also if whoever wanted the answer is gone.
pub(crate) async fn run_once<T: Send + 'static>(
    name: &str,
    place: &Arc<str>,
    operation: &'static str,
    connect: impl FnOnce() -> Result<Connection, StoreError> + Send + 'static,
    job: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
) -> Result<T, StoreError> {
    let (answer, answered) = oneshot::channel();
    let read_place = Arc::clone(place);
    thread::Builder::new()
        .name(name.to_string())
        .spawn(move || {
            let done = connect().and_then(|mut connection| {
                job(&mut connection).map_err(|failure| failure.at(operation, &read_place))
            });
            let _ = answer.send(done);
        })
        .map_err(|error| backend(operation, place, BackendFailure::Unavailable, false, error))?;
    match answered.await {
        Ok(done) => done,
        Err(_) => Err(did_not_end(operation, place)),
    }
}

fn did_not_end(operation: &'static str, place: &str) -> StoreError {
    let problem = std::io::Error::other("the job did not end");
    backend(operation, place, BackendFailure::Other, true, problem)
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A job that panicked was caught; nothing is left to be said here.
            let _ = thread.join();
        }
    }
}

fn serve(mut connection: Connection, queue: &Receiver<Job>) {
    for job in queue {
        // A panic would take all later jobs with it. Its transaction rolls back as it unwinds,
        // and its caller is told that the job did not end.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut connection)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use futures_executor::block_on;

    use super::*;

    fn worker() -> Worker {
        let connect = || Ok(Connection::open_in_memory().unwrap());
        block_on(Worker::start("gastown-sqlite", "test".into(), connect)).unwrap()
    }

    #[test]
    fn the_thread_has_its_name() {
        let name = block_on(worker().run("test", |_| {
            Ok(thread::current().name().map(ToString::to_string))
        }));
        assert_eq!(name.unwrap().as_deref(), Some("gastown-sqlite"));
    }

    #[test]
    fn whoever_stops_waiting_for_an_opening_waits_for_nothing() {
        let (release, released) = channel::<()>();
        let connect = move || {
            released.recv().unwrap();
            Ok(Connection::open_in_memory().unwrap())
        };
        let mut opening = Box::pin(Worker::start("gastown-sqlite", "test".into(), connect));
        let mut context = Context::from_waker(Waker::noop());
        assert!(opening.as_mut().poll(&mut context).is_pending());
        let (dropped, is_dropped) = channel();
        thread::spawn(move || {
            drop(opening);
            dropped.send(()).unwrap();
        });
        let patience = Duration::from_secs(60);
        is_dropped.recv_timeout(patience).expect("it waits");
        release.send(()).unwrap();
    }

    #[test]
    fn beyond_its_limit_the_queue_is_busy() {
        let worker = worker();
        let (started, has_started) = channel::<()>();
        let (release, released) = channel::<()>();
        let hold = worker.jobs.as_ref().unwrap();
        hold.try_send(Box::new(move |_| {
            started.send(()).unwrap();
            released.recv().unwrap();
        }))
        .unwrap();
        has_started.recv().unwrap();
        for _ in 0..JOBS_MAX {
            hold.try_send(Box::new(|_| {})).unwrap();
        }
        let error = block_on(worker.run("load", |_| Ok(()))).unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(error.to_string(), "load failed on test: it is busy");
        release.send(()).unwrap();
    }

    #[test]
    fn a_panic_ends_its_job_only() {
        let worker = worker();
        let said = block_on(worker.run::<()>("load", |_| panic!("on purpose")));
        match said {
            Err(StoreError::Backend {
                outcome_unknown, ..
            }) => assert!(outcome_unknown),
            other => panic!("{other:?}"),
        }
        assert_eq!(block_on(worker.run("load", |_| Ok(7))).unwrap(), 7);
    }

    #[test]
    fn waiting_jobs_run_before_it_ends() {
        let worker = worker();
        let (done, is_done) = channel();
        for n in 0..10 {
            let done = done.clone();
            let job: Job = Box::new(move |_| done.send(n).unwrap());
            worker.jobs.as_ref().unwrap().try_send(job).unwrap();
        }
        drop((worker, done));
        assert_eq!(
            is_done.iter().collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
    }
}
