//! Batches: which events go together, and when.
//!
//! [`Dispatcher`] gets the time as a parameter and never reads a clock. It makes an event only when a connection is free to
//! send it, so a slow server costs no memory: overdue events are made when they are sent.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::Range;
use std::time::Duration;

use crate::event::{Event, Table};
use crate::traffic::Planned;

/// Events for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Their table.
    pub table: Table,
    /// The number of this batch among those of its table.
    pub number: u64,
    /// At least one.
    pub events: Vec<Event>,
    /// When the batch was to be sent, since the start: when it was full, or its oldest event had waited long enough.
    pub intended: Duration,
}

/// What a free connection is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this.
    Batch(Batch),
    /// Ask again at this time.
    WaitUntil(Duration),
    /// Ask again when an impression was handed over: clicks wait for it.
    WaitForHandover,
    /// Nothing more.
    Finished,
}

/// Collects events into batches, by size and by age.
///
/// A click joins a batch only after the batch of its impression was [handed over](Self::handed_over).
#[derive(Debug)]
pub struct Dispatcher<T: Iterator<Item = Planned>> {
    traffic: Peekable<T>,
    size: usize,
    /// The longest that an event waits for its batch to fill; without it, a batch is sent when full or at the end.
    age: Option<Duration>,
    /// One per table, by its number.
    queues: Vec<Queue>,
    /// The batches of impressions that were not handed over yet, oldest first; the last is the one being filled.
    outstanding: VecDeque<Outstanding>,
    stopped: bool,
}

/// The events of a table that are due.
#[derive(Debug, Default)]
struct Queue {
    /// Each with the time when it was due.
    events: VecDeque<(Duration, Event)>,
    /// The number of the next batch.
    number: u64,
}

/// A batch of impressions whose clicks must wait.
#[derive(Debug)]
struct Outstanding {
    number: u64,
    /// The views whose impressions are in it.
    views: Range<u64>,
    handed_over: bool,
    waiting: Vec<(Duration, Event)>,
}

impl Outstanding {
    fn new(number: u64, first_view: u64) -> Self {
        Self { number, views: first_view..first_view, handed_over: false, waiting: Vec::new() }
    }
}

impl<T: Iterator<Item = Planned>> Dispatcher<T> {
    /// Collects `traffic` into batches of up to `size` events.
    pub fn new(traffic: T, size: usize, age: Option<Duration>) -> Self {
        Self {
            traffic: traffic.peekable(),
            size: size.max(1),
            age,
            queues: Vec::new(),
            outstanding: VecDeque::from([Outstanding::new(0, 0)]),
            stopped: false,
        }
    }

    /// What to do at the time `now`, counted from the start.
    pub fn next(&mut self, now: Duration) -> Next {
        if self.stopped {
            return Next::Finished;
        }
        let next_due = loop {
            if let Some(full) = self.queues.iter().position(|queue| queue.events.len() >= self.size) {
                return Next::Batch(self.release(Table::of(full), now));
            }
            match self.traffic.peek().map(|planned| Duration::from_micros(planned.due)) {
                Some(due) if due <= now => {
                    if let Some(planned) = self.traffic.next() {
                        self.take(due, planned);
                    }
                }
                due => break due,
            }
        };
        let mut wake = next_due;
        for table in (0..self.queues.len()).map(Table::of) {
            let Some(&(oldest, _)) = self.queue(table).front() else { continue };
            let Some(deadline) = self.deadline(oldest) else {
                // Without an age, only more events are waited for.
                if next_due.is_none() && !self.may_come(table) {
                    return Next::Batch(self.release(table, now));
                }
                continue;
            };
            if deadline <= now || (next_due.is_none() && !self.may_come(table)) {
                return Next::Batch(self.release(table, now));
            }
            wake = Some(wake.map_or(deadline, |wake| wake.min(deadline)));
        }
        match wake {
            Some(time) => Next::WaitUntil(time),
            None if self.waiting() => Next::WaitForHandover,
            None => Next::Finished,
        }
    }

    /// Marks a batch of impressions as being sent, so that their clicks may follow.
    pub fn handed_over(&mut self, number: u64) {
        if let Some(batch) = self.outstanding.iter_mut().find(|batch| batch.number == number) {
            batch.handed_over = true;
            let clicks = std::mem::take(&mut batch.waiting);
            self.queue(Table::Clicks).extend(clicks);
        }
        while self.outstanding.front().is_some_and(|batch| batch.handed_over) {
            self.outstanding.pop_front();
        }
    }

    /// Makes no more events, and drops those that were not released.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    fn deadline(&self, oldest: Duration) -> Option<Duration> {
        Some(oldest.saturating_add(self.age?))
    }

    /// Adds an event to its queue.
    fn take(&mut self, due: Duration, Planned { view, event, .. }: Planned) {
        match event.table {
            Table::Impressions => {
                if let Some(filling) = self.outstanding.back_mut() {
                    filling.views.end = filling.views.end.max(view + 1);
                }
            }
            Table::Clicks => {
                let index = self.outstanding.partition_point(|batch| batch.views.end <= view);
                if let Some(batch) = self.outstanding.get_mut(index)
                    && batch.views.contains(&view)
                    && !batch.handed_over
                {
                    batch.waiting.push((due, event));
                    return;
                }
            }
            Table::Other(_) => {}
        }
        self.queue(event.table).push_back((due, event));
    }

    fn queue(&mut self, table: Table) -> &mut VecDeque<(Duration, Event)> {
        let count = self.queues.len().max(table.index() + 1);
        self.queues.resize_with(count, Queue::default);
        &mut self.queues[table.index()].events
    }

    /// Whether events of the table can still come once the traffic has ended.
    fn may_come(&self, table: Table) -> bool {
        table == Table::Clicks && self.waiting()
    }

    fn waiting(&self) -> bool {
        self.outstanding.iter().any(|batch| !batch.waiting.is_empty())
    }

    fn release(&mut self, table: Table, now: Duration) -> Batch {
        let queue = &mut self.queues[table.index()];
        let count = queue.events.len().min(self.size);
        let oldest = queue.events.front().map_or(now, |&(due, _)| due);
        let youngest = queue.events.get(count - 1).map_or(now, |&(due, _)| due);
        let events = queue.events.drain(..count).map(|(_, event)| event).collect();
        let number = queue.number;
        queue.number += 1;
        let deadline = self.deadline(oldest).unwrap_or(now);
        let intended = if count == self.size { youngest } else { deadline };
        if table == Table::Impressions {
            let end = self.outstanding.back().map_or(0, |filling| filling.views.end);
            self.outstanding.push_back(Outstanding::new(number + 1, end));
        }
        Batch { table, number, events, intended: intended.min(now) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::event::Kind;

    const AGE: Option<Duration> = Some(Duration::from_millis(100));

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn planned(table: Table, due_ms: u64, view: u64) -> Planned {
        let event = Event {
            table,
            kind: Kind::Fresh,
            late: false,
            bot: false,
            ad: 0,
            id: Uuid::from_u128(u128::from(view)),
            impression: Uuid::from_u128(u128::from(view)),
            occurred_at: 0,
        };
        Planned { due: due_ms * 1_000, at: 0, view, event }
    }

    fn views(count: u64, every_ms: u64) -> Vec<Planned> {
        (0..count).map(|view| planned(Table::Impressions, view * every_ms, view)).collect()
    }

    fn batch(next: Next) -> Batch {
        match next {
            Next::Batch(batch) => batch,
            other => panic!("expected a batch, got {other:?}"),
        }
    }

    #[test]
    fn a_batch_is_due_and_released_when_it_is_full() {
        let mut dispatcher = Dispatcher::new(views(5, 10).into_iter(), 3, AGE);
        assert_eq!(dispatcher.next(ms(0)), Next::WaitUntil(ms(10)));
        assert_eq!(dispatcher.next(ms(19)), Next::WaitUntil(ms(20)));
        let full = batch(dispatcher.next(ms(55)));
        assert_eq!((full.events.len(), full.intended), (3, ms(20)));
    }

    #[test]
    fn a_batch_is_released_when_its_oldest_event_has_waited_long_enough() {
        let mut dispatcher = Dispatcher::new(views(5, 60).into_iter(), 500, AGE);
        assert_eq!(dispatcher.next(ms(70)), Next::WaitUntil(ms(100)));
        let aged = batch(dispatcher.next(ms(115)));
        assert_eq!((aged.events.len(), aged.intended), (2, ms(100)));
        assert_eq!(dispatcher.next(ms(115)), Next::WaitUntil(ms(120)));
    }

    #[test]
    fn the_last_events_are_not_kept_waiting() {
        let mut dispatcher = Dispatcher::new(views(4, 10).into_iter(), 3, AGE);
        assert_eq!(batch(dispatcher.next(ms(30))).events.len(), 3);
        let last = batch(dispatcher.next(ms(30)));
        assert_eq!((last.events.len(), last.intended), (1, ms(30)));
        assert_eq!(dispatcher.next(ms(30)), Next::Finished);
    }

    #[test]
    fn a_click_waits_until_its_impression_was_handed_over() {
        let traffic =
            [planned(Table::Impressions, 0, 0), planned(Table::Clicks, 0, 0), planned(Table::Impressions, 0, 1)];
        for age in [None, AGE] {
            let mut dispatcher = Dispatcher::new(traffic.into_iter(), 2, age);
            let impressions = batch(dispatcher.next(ms(0)));
            assert_eq!((impressions.table, impressions.events.len()), (Table::Impressions, 2));
            assert_eq!(dispatcher.next(ms(500)), Next::WaitForHandover);
            dispatcher.handed_over(impressions.number);
            assert_eq!(batch(dispatcher.next(ms(500))).table, Table::Clicks);
            assert_eq!(dispatcher.next(ms(500)), Next::Finished);
        }
    }

    #[test]
    fn batches_may_be_handed_over_in_any_order() {
        let mut traffic = views(3, 0);
        traffic.extend([2, 0, 1].map(|view| planned(Table::Clicks, 0, view)));
        let mut dispatcher = Dispatcher::new(traffic.into_iter(), 1, None);
        let numbers: Vec<u64> = (0..3).map(|_| batch(dispatcher.next(ms(0))).number).collect();
        assert_eq!(dispatcher.next(ms(0)), Next::WaitForHandover);
        for number in [numbers[1], numbers[2], numbers[0]] {
            dispatcher.handed_over(number);
            let click = batch(dispatcher.next(ms(0)));
            assert_eq!((click.table, click.events[0].impression), (Table::Clicks, Uuid::from_u128(number.into())));
        }
        assert_eq!(dispatcher.next(ms(0)), Next::Finished);
    }

    #[test]
    fn a_click_long_after_its_impression_waits_for_nothing() {
        let traffic = [planned(Table::Impressions, 0, 0), planned(Table::Clicks, 900, 0)];
        let mut dispatcher = Dispatcher::new(traffic.into_iter(), 500, AGE);
        let impressions = batch(dispatcher.next(ms(100)));
        dispatcher.handed_over(impressions.number);
        assert_eq!(dispatcher.next(ms(100)), Next::WaitUntil(ms(900)));
        assert_eq!(batch(dispatcher.next(ms(900))).table, Table::Clicks);
    }

    #[test]
    fn nothing_is_released_after_a_stop() {
        let mut dispatcher = Dispatcher::new(views(10, 0).into_iter(), 3, AGE);
        batch(dispatcher.next(ms(0)));
        dispatcher.stop();
        assert_eq!(dispatcher.next(ms(1_000)), Next::Finished);
    }

    proptest! {
        /// For any traffic and any order of handovers, every event is released exactly once, and none waits forever.
        /// No batch is too large. A click is released only after its impression was handed over.
        #[test]
        fn every_event_is_released_once_and_clicks_follow(
            views in proptest::collection::vec((0..50_u64, any::<bool>(), 0..200_u64), 0..120),
            size in 1..9_usize,
            age in proptest::option::of(1..100_u64),
            order in any::<u64>(),
        ) {
            let mut traffic = Vec::new();
            let mut at = 0;
            for (view, &(after, is_clicked, considers)) in (0..).zip(&views) {
                at += after;
                traffic.push(planned(Table::Impressions, at, view));
                if is_clicked {
                    traffic.push(planned(Table::Clicks, at + considers, view));
                }
            }
            // Among events that are due at the same time, impressions come first.
            traffic.sort_by_key(|planned| (planned.due, planned.event.table));
            let expected = traffic.len();
            let mut dispatcher = Dispatcher::new(traffic.into_iter(), size, age.map(ms));
            let (mut now, mut steps) = (Duration::ZERO, 0);
            let mut under_way: Vec<Batch> = Vec::new();
            let mut shown = std::collections::BTreeSet::new();
            let mut seen = std::collections::BTreeSet::new();
            loop {
                steps += 1;
                prop_assert!(steps < 10_000, "the dispatcher does not finish");
                let next = dispatcher.next(now);
                let hand_over = match next {
                    Next::Finished => break,
                    Next::WaitUntil(time) => {
                        prop_assert!(time > now);
                        now = time;
                        false
                    }
                    Next::WaitForHandover => {
                        prop_assert!(!under_way.is_empty(), "there is no batch to hand over");
                        true
                    }
                    Next::Batch(batch) => {
                        prop_assert!((1..=size).contains(&batch.events.len()));
                        prop_assert!(batch.intended <= now);
                        for event in &batch.events {
                            prop_assert!(seen.insert((batch.table, event.id)), "released twice");
                            prop_assert!(batch.table == Table::Impressions || shown.contains(&event.impression));
                        }
                        if batch.table == Table::Impressions {
                            under_way.push(batch);
                        }
                        order.rotate_left(steps) & 1 == 0
                    }
                };
                if hand_over && !under_way.is_empty() {
                    let batch = under_way.remove((order >> 7) as usize % under_way.len());
                    shown.extend(batch.events.iter().map(|event| event.id));
                    dispatcher.handed_over(batch.number);
                }
            }
            prop_assert_eq!(seen.len(), expected);
        }
    }
}
