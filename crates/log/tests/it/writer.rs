//! Who writes: the log's thread, or who waits for an append.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use foretell_log::{
    Append, Capabilities, Clock, Environment, EventLog, Group, Journal, JournalReader, LogOptions,
    MemoryJournal, Place, ReadOptions, Seq,
};
use foretell_types::limits::{APPENDS_WAITING, APPENDS_WAITING_BYTES};
use foretell_types::{Data, ErrorKind, NewEvent};

use crate::support::{FaultDisk, open_with, small_segments};

/// The writer takes no more appends in a group.
const GROUP: usize = 4_096;

fn event(id: String) -> NewEvent {
    NewEvent {
        id,
        source: "/till".into(),
        event_type: "placed".into(),
        data: Data::json("1"),
        ..NewEvent::default()
    }
}

fn create() -> Append {
    Append::new().create_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7), false)
}

fn place(id: String) -> Append {
    Append::new().events("shop", [event(id)])
}

#[test]
fn threads_that_write_themselves_and_others_lose_nothing() {
    const THREADS: usize = 6;
    const EACH: usize = 400;
    let journal = Box::new(MemoryJournal::new());
    let log = EventLog::open(journal, &Environment::real(), &mut |_, _| {}).unwrap();
    log.append_and_wait(create()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let log = log.clone();
            scope.spawn(move || {
                let mut last = None;
                for n in 0..EACH {
                    let append = place(format!("{thread} {n}"));
                    let done = match (thread + n) % 3 {
                        0 => log.append(append).unwrap().wait().unwrap(),
                        _ => log.append_and_wait(append).unwrap(),
                    };
                    let position = Some(done.events[0].position);
                    assert!(position > last);
                    last = position;
                }
            });
        }
    });
    let events = log.read("shop", ReadOptions::default()).unwrap();
    assert_eq!(events.collect().unwrap().len(), THREADS * EACH);
}

/// Nobody else would: there is no thread.
#[test]
fn who_waits_writes_what_was_appended_before_too() {
    let options = LogOptions {
        write_in_background: false,
        ..LogOptions::default()
    };
    let journal = Box::new(MemoryJournal::new());
    let log = EventLog::open_with(journal, &Environment::real(), &options, &mut |_, _| {}).unwrap();
    log.append_and_wait(create()).unwrap();
    let before = log.append(place("1".to_owned())).unwrap();
    let done = log.append_and_wait(place("2".to_owned())).unwrap();
    assert_eq!(done.events[0].position.get(), 2);
    assert_eq!(before.wait().unwrap().events[0].position.get(), 1);
    assert!(!log.write(), "nothing is left");
}

/// Does something before each group that it is to write, and while it is on its way to the disk, which
/// may fail then. Says when it is dropped.
struct Watched<F> {
    journal: MemoryJournal,
    groups: u32,
    before: F,
    meanwhile: Box<dyn FnMut(u32) -> foretell_types::Result<()> + Send>,
    dropped: Arc<AtomicBool>,
}

impl<F: FnMut(u32) + Send> Watched<F> {
    fn new(journal: MemoryJournal, before: F) -> Box<Watched<F>> {
        Box::new(Watched {
            journal,
            groups: 0,
            before,
            meanwhile: Box::new(|_| Ok(())),
            dropped: Arc::default(),
        })
    }
}

fn not_a_third(group: u32) {
    assert!(group < 3, "as the test wants it");
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

impl<F: FnMut(u32) + Send> Journal for Watched<F> {
    fn capabilities(&self) -> Capabilities {
        self.journal.capabilities()
    }

    fn last(&self) -> Seq {
        self.journal.last()
    }

    fn append(
        &mut self,
        expected_last: Seq,
        group: &mut Group,
        meanwhile: &mut dyn FnMut(&[u8], Place),
    ) -> foretell_types::Result<()> {
        self.groups += 1;
        (self.before)(self.groups);
        let mut went = Ok(());
        let mut both = |body: &[u8], place| {
            meanwhile(body, place);
            went = (self.meanwhile)(self.groups);
        };
        self.journal.append(expected_last, group, &mut both)?;
        went
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        self.journal.reader()
    }
}

#[test]
fn who_panics_as_the_writer_is_the_last() {
    for in_background in [true, false] {
        let options = LogOptions {
            write_in_background: in_background,
            ..LogOptions::default()
        };
        let journal = Watched::new(MemoryJournal::new(), not_a_third);
        let log =
            EventLog::open_with(journal, &Environment::real(), &options, &mut |_, _| {}).unwrap();
        log.append_and_wait(create()).unwrap();
        log.append_and_wait(place("1".to_owned())).unwrap();
        // By its own thread or by the log's: it isn't durable, and nobody is told that it is.
        let writing = log.clone();
        let third = std::thread::spawn(move || writing.append_and_wait(place("2".to_owned())));
        assert!(!matches!(third.join(), Ok(Ok(_))));
        let error = log.append_and_wait(place("3".to_owned())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let events = log.read("shop", ReadOptions::default()).unwrap();
        assert_eq!(events.collect().unwrap().len(), 1);
    }
}

/// Nor does the writer stay asleep, with the journal.
#[test]
fn a_log_that_can_not_be_opened_leaves_no_thread() {
    let folder = tempfile::tempdir().unwrap();
    let options = |keys: &str| LogOptions {
        keys: Some(folder.path().join(keys)),
        ..LogOptions::default()
    };
    let environment = Environment::real();
    let journal = MemoryJournal::new();
    for (keys, journal) in [("one", journal.clone()), ("other", MemoryJournal::new())] {
        let journal = Box::new(journal);
        let log = EventLog::open_with(journal, &environment, &options(keys), &mut |_, _| {});
        let topic =
            Append::new().create_erasable_topic("shop".parse().unwrap(), uuid::Uuid::from_u128(7));
        log.unwrap().append_and_wait(topic).unwrap();
    }
    let journal = Watched::new(journal, not_a_third);
    let dropped = journal.dropped.clone();
    let error = EventLog::open_with(journal, &environment, &options("other"), &mut |_, _| {});
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(dropped.load(Ordering::SeqCst));
}

/// Holds up the writer until it is let go on.
struct Gate {
    reached: mpsc::Sender<()>,
    held: Mutex<mpsc::Receiver<()>>,
}

impl Gate {
    /// The gate, what tells that it was reached, and what opens it.
    fn new() -> (Arc<Gate>, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (reached, is_reached) = mpsc::channel();
        let (open, held) = mpsc::channel();
        let held = Mutex::new(held);
        (Arc::new(Gate { reached, held }), is_reached, open)
    }

    fn pass(&self) {
        self.reached.send(()).unwrap();
        self.held.lock().unwrap().recv().unwrap();
    }
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Those of a group that others follow are woken with the next one, or if there is none.
#[test]
fn who_awaits_an_append_is_woken_whatever_becomes_of_the_writer() {
    for panics in [false, true] {
        let (gate, reached, open) = Gate::new();
        let before = move |group| match group {
            2 => gate.pass(),
            4 => assert!(!panics, "as the test wants it"),
            _ => {}
        };
        let journal = Watched::new(MemoryJournal::new(), before);
        let log = EventLog::open(journal, &Environment::real(), &mut |_, _| {}).unwrap();
        log.append_and_wait(create()).unwrap();
        let first = log.append(place("first".to_owned())).unwrap();
        reached.recv().unwrap();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let mut tickets: Vec<_> = (0..GROUP + 10)
            .map(|n| log.append(place(n.to_string())).unwrap())
            .collect();
        for ticket in &mut tickets {
            assert!(Pin::new(ticket).poll(&mut context).is_pending());
        }
        open.send(()).unwrap();
        let begun = Instant::now();
        while count.0.load(Ordering::SeqCst) < tickets.len() {
            assert!(begun.elapsed().as_secs() < 60, "some are never woken");
            std::thread::yield_now();
        }
        first.wait().unwrap();
        for (n, ticket) in tickets.iter_mut().enumerate() {
            match Pin::new(ticket).poll(&mut context) {
                Poll::Ready(answer) => assert_eq!(answer.is_err(), panics && n >= GROUP),
                Poll::Pending => unreachable!("it was woken"),
            }
        }
    }
}

/// Asked for the time once a group.
struct GateBefore {
    group: usize,
    asked: AtomicUsize,
    gate: Arc<Gate>,
}

impl Clock for GateBefore {
    fn now(&self) -> foretell_types::Instant {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.group {
            self.gate.pass();
        }
        foretell_types::Instant::from_nanos(0)
    }
}

/// With a group of which nothing is written the disk has nothing to do, while which they could be woken.
#[test]
fn who_awaits_an_append_does_not_wait_behind_those_that_are_refused() {
    let (gate, reached, open) = Gate::new();
    let clock = GateBefore {
        group: 4,
        asked: AtomicUsize::new(0),
        gate: gate.clone(),
    };
    let environment = Environment {
        clock: Arc::new(clock),
        ..Environment::real()
    };
    let before = move |written| {
        if written == 2 || written == 4 {
            gate.pass();
        }
    };
    let journal = Watched::new(MemoryJournal::new(), before);
    let log = EventLog::open(journal, &environment, &mut |_, _| {}).unwrap();
    log.append_and_wait(create()).unwrap();
    let first = log.append(place("first".to_owned())).unwrap();
    reached.recv().unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let taken = (0..GROUP).map(|n| {
        let mut ticket = log.append(place(n.to_string())).unwrap();
        let polled = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        ticket
    });
    let taken: Vec<_> = taken.collect();
    let other = NewEvent {
        data: Data::json("2"),
        ..event("first".to_owned())
    };
    let other = Append::new().events("shop", [other]);
    let refused = [(); 100].map(|()| log.append(other.clone()).unwrap());
    open.send(()).unwrap();
    // The group of the refused is taken together: what comes now is for another.
    reached.recv().unwrap();
    let last = log.append(place("last".to_owned())).unwrap();
    open.send(()).unwrap();
    // And that is to be written.
    reached.recv().unwrap();
    let woken = count.0.load(Ordering::SeqCst);
    open.send(()).unwrap();
    assert_eq!(woken, GROUP);
    for ticket in refused {
        assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Conflict);
    }
    for ticket in taken.into_iter().chain([first, last]) {
        ticket.wait().unwrap();
    }
}

/// What an append hashes to is found by who appends it, or by the writer for many at once, or, where
/// an event comes again in the group, before it is staged. It is the same tree.
#[test]
fn whoever_hashes_the_tree_is_that_of_the_frames() {
    let options = LogOptions {
        write_in_background: false,
        ..LogOptions::default()
    };
    let journal = MemoryJournal::new();
    let open = || {
        let journal = Box::new(journal.clone());
        EventLog::open_with(journal, &Environment::real(), &options, &mut |_, _| {}).unwrap()
    };
    let log = open();
    let with_data = |id: &str, bytes: usize| NewEvent {
        data: Data::Text("x".repeat(bytes)),
        ..event(id.to_owned())
    };
    let of = |events: Vec<NewEvent>| Append::new().events("shop", events);
    let some = |name: &str, count: usize, bytes: usize| {
        let ids = (0..count).map(|n| format!("{name} {n}"));
        of(ids.map(|id| with_data(&id, bytes)).collect())
    };
    // All in one group.
    let taken = [
        create().events("shop", [with_data("first", 1)]),
        of(vec![with_data("small", 10)]),
        of(vec![with_data("large", 100_000)]),
        some("few", 20, 30),
        some("many", 600, 300),
        of(vec![with_data("small", 10)]),
        of(vec![with_data("large", 100_000)]),
        some("few", 20, 30),
        Append::new().register("key", Some(vec![7; 5_000])),
        Append::new().register("key", None),
        of(vec![with_data("twin", 9), with_data("twin", 9)]),
    ];
    let refused = [
        of(vec![with_data("small", 11)]),
        of(vec![with_data("large", 100_001)]),
        some("many", 600, 301),
        of(vec![with_data("unlike", 9), with_data("unlike", 8)]),
    ];
    let begin = |append: Append| log.append(append).unwrap();
    let taken = taken.map(begin);
    let refused = refused.map(begin);
    assert!(log.write());
    assert!(!log.write(), "it is one group");
    let taken = taken.map(|ticket| ticket.wait().unwrap());
    for again in [&taken[5], &taken[6], &taken[7]] {
        assert!(again.events.iter().all(|event| event.duplicate));
    }
    assert!(taken[10].events[1].duplicate);
    for ticket in refused {
        assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Conflict);
    }
    // By itself, with nobody at the writer's seat.
    log.append_and_wait(some("alone", 600, 300)).unwrap();
    log.append_and_wait(some("alone", 600, 300)).unwrap();
    let kept = log.root().unwrap();
    assert_eq!(log.verify(&mut |_, _| {}).unwrap().root, kept.1);
    drop(log);
    assert_eq!(open().root().unwrap(), kept);
}

/// What the log shows of a topic.
fn shown(log: &EventLog) -> String {
    let events = log.read("shop", ReadOptions::default());
    let backward = ReadOptions {
        backward: true,
        ..ReadOptions::stream("a")
    };
    let stream = log.read("shop", backward);
    let of = |reader: foretell_types::Result<foretell_log::Reader>| {
        let events = reader.and_then(foretell_log::Reader::collect);
        events.map(|events| {
            events
                .iter()
                .map(|e| e.event.id.clone())
                .collect::<Vec<_>>()
        })
    };
    let revisions = ["a", "b", "c"].map(|subject| log.revision("shop", subject));
    format!(
        "{:?} {:?} {revisions:?} {:?} {:?} {:?} {:?}",
        of(events),
        of(stream),
        log.head("shop"),
        log.topics(),
        log.watch("shop").map(|head| *head.borrow()),
        log.register("n"),
    )
}

/// The index takes a group in while the disk is at work. Until that is done, and for ever if it
/// fails, all is as it was before.
#[test]
fn what_is_not_durable_is_shown_to_nobody() {
    const LAST: usize = 6;
    let of = |id: &str, subject: &str| NewEvent {
        subject: Some(subject.to_owned()),
        ..event(id.to_owned())
    };
    let (gate, reached, open) = Gate::new();
    let mut journal = Watched::new(MemoryJournal::new(), |_| {});
    journal.meanwhile = Box::new(move |group| {
        gate.pass();
        let lost = || Err(foretell_types::Error::new(ErrorKind::Io, "power lost"));
        if group as usize == LAST {
            lost()
        } else {
            Ok(())
        }
    });
    let log = EventLog::open(journal, &Environment::real(), &mut |_, _| {}).unwrap();
    // Dropped before the log, should this fail: whose writer waits for it.
    let open = open;
    let appends: [Append; LAST] = [
        create().events("shop", [of("1", "a")]),
        Append::new().events("shop", [of("2", "a"), of("3", "b"), of("4", "a")]),
        Append::new()
            .register("n", Some(vec![1]))
            .events("shop", [of("5", "a")]),
        Append::new().delete_topic("shop"),
        create().events("shop", [of("1", "c")]),
        Append::new().events("shop", [of("2", "c"), of("3", "a"), of("4", "c")]),
    ];
    for (number, append) in (1..).zip(appends) {
        let before = shown(&log);
        let ticket = log.append(append).unwrap();
        reached.recv().unwrap();
        assert_eq!(shown(&log), before, "append {number}");
        open.send(()).unwrap();
        let goes_on = number < LAST;
        assert_eq!(ticket.wait().is_ok(), goes_on);
        assert_eq!(shown(&log) == before, !goes_on, "append {number}");
    }
    let refused = log.append_and_wait(place("6".to_owned())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

/// Who appends more than may wait is refused, nothing of it is written, and it goes on once there is
/// room again.
#[test]
fn what_waits_is_bounded() {
    let options = LogOptions {
        write_in_background: false,
        ..small_segments()
    };
    let log = open_with(&FaultDisk::new(), 1, &options).unwrap();
    let mut waiting = vec![log.append(create()).unwrap()];
    let busy = |append: Append| {
        let error = log.append(append).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.message().contains("are waiting already"), "{error}");
    };
    for n in 1..APPENDS_WAITING {
        waiting.push(log.append(place(n.to_string())).unwrap());
    }
    busy(place("more".into()));
    while log.write() {}
    for ticket in waiting.drain(..) {
        ticket.wait().unwrap();
    }
    // By their bytes.
    let large = |n: usize| {
        let mut large = event(format!("large {n}"));
        large.data = Data::Text("x".repeat(1_000_000));
        Append::new().events("shop", [large])
    };
    for n in 0..APPENDS_WAITING_BYTES / 1_001_000 {
        waiting.push(log.append(large(n)).unwrap());
    }
    busy(large(usize::MAX));
    while log.write() {}
    let many = waiting.len() as u64;
    for ticket in waiting {
        ticket.wait().unwrap();
    }
    log.append(large(usize::MAX)).unwrap();
    while log.write() {}
    let read = log.read("shop", ReadOptions::default()).unwrap();
    let found = read.collect().unwrap().len() as u64;
    assert_eq!(found, APPENDS_WAITING as u64 - 1 + many + 1);
}
