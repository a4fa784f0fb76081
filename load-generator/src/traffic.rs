//! The simulation of views and clicks, and the random events of other types.
//!
//! [`Traffic`] is an iterator over events in the order of their clock. It does not depend on real time: its caller decides
//! whether to wait. A user takes 48 bytes, a click that is being considered 80.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;
use std::sync::Arc;

use crate::day::SECOND;
use crate::event::{Defect, Event, Kind, Table};
use crate::plan::{Plan, Progress, Schedule, share_of};
use crate::random::Stream;

impl Plan {
    /// The events of a part of the users, and the same part of the events of other types.
    ///
    /// All parts of a day together have the same events for any number of parts. A live schedule has only one part, since its
    /// limit of impressions applies to all users together.
    pub fn traffic(self: &Arc<Self>, part: Range<u32>) -> Traffic {
        let mut traffic = Traffic {
            plan: Arc::clone(self),
            views: BinaryHeap::new(),
            others: self.others(&part),
            progress: Vec::new(),
            first_user: part.start,
            pending: BinaryHeap::new(),
            views_made: 0,
            deferred: 0,
            due: 0,
        };
        let mut views = Vec::new();
        for user in part {
            match self.schedule {
                Schedule::Live { .. } => {
                    let at = self.phase(user) * self.view.0 * SECOND as f64;
                    views.push(Reverse(View { at: at as u64, user, number: 0 }));
                }
                Schedule::Day { impressions, .. } => {
                    let progress = self.progress(user, impressions);
                    if progress.views > 0 {
                        let at = self.shape.time(progress.share());
                        views.push(Reverse(View { at, user, number: 0 }));
                    }
                    traffic.progress.push(progress);
                }
            }
        }
        traffic.views = BinaryHeap::from(views);
        traffic
    }

    /// The events of all users.
    pub fn all_traffic(self: &Arc<Self>) -> Traffic {
        self.traffic(0..self.users.count)
    }

    /// The turns of other types' events in a part of the users.
    fn others(&self, part: &Range<u32>) -> BinaryHeap<Reverse<Turn>> {
        let turn = |(other, count): (u16, u64)| {
            let bound = |user: u32| share_of(count, u64::from(user), self.users.count);
            let (number, end) = (bound(part.start), bound(part.end));
            (number < end).then(|| Reverse(Turn { at: self.turn_at(other, number), other, number, end }))
        };
        self.types.wanted().filter_map(turn).collect()
    }
}

/// A user's next view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    at: u64,
    user: u32,
    number: u64,
}

/// The next event of another type, up to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    at: u64,
    other: u16,
    number: u64,
    end: u64,
}

/// A later event that another one causes.
#[derive(Debug, Clone, Copy)]
struct Pending {
    at: u64,
    /// Orders events that are pending for the same time.
    number: u64,
    view: u64,
    event: Event,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// An event with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// When it's to be sent: microseconds since the start of the run.
    pub due: u64,
    /// When it occurs, or is sent again: microseconds on the schedule's clock, of a day since midnight.
    pub at: u64,
    /// The number of the view that it comes from, counted from 0 in the order of views. Other types have none: it's 0.
    pub view: u64,
    /// The event.
    pub event: Event,
}

/// The events of a plan, or of a part of its users, in the order of their clock.
#[derive(Debug)]
pub struct Traffic {
    plan: Arc<Plan>,
    views: BinaryHeap<Reverse<View>>,
    others: BinaryHeap<Reverse<Turn>>,
    /// Of each user of the part; empty for a live schedule.
    progress: Vec<Progress>,
    first_user: u32,
    pending: BinaryHeap<Reverse<Pending>>,
    views_made: u64,
    deferred: u64,
    /// When the last view of a day was due.
    due: u64,
}

impl Iterator for Traffic {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let view = self.next_view_at();
        let pending = self.pending.peek().map(|Reverse(pending)| pending.at);
        let other = self.others.peek().map(|Reverse(turn)| turn.at);
        let first = [view, pending, other].into_iter().flatten().min()?;
        if pending == Some(first) {
            let Reverse(Pending { at, view, event, .. }) = self.pending.pop()?;
            Some(Planned { due: self.due(at), at, view, event })
        } else if view == Some(first) {
            self.view(first)
        } else {
            self.other()
        }
    }
}

impl Traffic {
    /// When an event that is not a view is to be sent: on a day together with the last view.
    fn due(&self, at: u64) -> u64 {
        if matches!(self.plan.schedule, Schedule::Live { .. }) { at } else { self.due }
    }

    /// When the next view occurs, if there is one.
    fn next_view_at(&self) -> Option<u64> {
        let Reverse(view) = self.views.peek()?;
        match self.plan.schedule {
            Schedule::Day { .. } => Some(view.at),
            Schedule::Live { until, impressions, rate, .. } => {
                let at = rate.map_or(view.at, |rate| paced(self.views_made, rate));
                let in_time = until.is_none_or(|until| u128::from(at) < until.as_micros());
                let wanted = impressions.is_none_or(|impressions| self.views_made < impressions);
                (in_time && wanted).then_some(at)
            }
        }
    }

    /// Takes the next view, and plans the events that it causes.
    fn view(&mut self, at: u64) -> Option<Planned> {
        let plan = Arc::clone(&self.plan);
        let View { user, number, .. } = self.next_view()?;
        let view = self.views_made;
        self.views_made += 1;
        let due = match plan.schedule {
            Schedule::Live { .. } => at,
            Schedule::Day { rate, .. } => rate.map_or(0, |rate| paced(view, rate)),
        };
        self.due = due;

        // What every view needs is drawn first, so that the views stay the same when a share below changes.
        let mut stream = plan.user(user).child(number).stream();
        plan.gap(&mut stream);
        let ad = plan.types.ads.draw(&mut stream);
        let impression = stream.uuid();
        let clicks = stream.unit();
        let considers = stream.unit();
        let click = stream.uuid();

        let bot = plan.is_bot(user);
        let late = plan.is_late(&mut stream);
        let event = |table, kind, id, at: u64| {
            let occurred_at = plan.occurred_at(at, late);
            Event { table, kind, late, bot, ad, id, impression, occurred_at }
        };
        let shown = event(Table::Impressions, Kind::Fresh, impression, at);
        self.follow(&plan, shown, at, view, &mut stream);
        let probability = if bot { plan.bots.clickthrough_probability } else { plan.users.clickthrough_probability };
        if clicks < probability {
            let at = plan.click_at(at, bot, considers);
            let clicked = event(Table::Clicks, Kind::Fresh, click, at);
            self.defer(at, view, clicked);
            self.follow(&plan, clicked, at, view, &mut stream);
        }
        Some(Planned { due, at, view, event: shown })
    }

    /// Takes the next event of another type.
    fn other(&mut self) -> Option<Planned> {
        let plan = Arc::clone(&self.plan);
        let Reverse(Turn { at, other, number, end }) = self.others.pop()?;
        let next = number + 1;
        if next < end {
            self.others.push(Reverse(Turn { at: plan.turn_at(other, next), other, number: next, end }));
        }
        let mut stream = plan.stream_of(other, number);
        // The first number determined the time.
        stream.unit();
        let id = stream.uuid();
        let late = plan.is_late(&mut stream);
        let occurred_at = plan.occurred_at(at, late);
        let table = Table::Other(other);
        let event = Event { table, kind: Kind::Fresh, late, bot: false, ad: 0, id, impression: id, occurred_at };
        self.follow(&plan, event, at, 0, &mut stream);
        Some(Planned { due: self.due(at), at, view: 0, event })
    }

    /// Takes the next view, and replaces it by the user's view after that.
    fn next_view(&mut self) -> Option<View> {
        let mut top = self.views.peek_mut()?;
        let Reverse(view) = *top;
        let number = view.number + 1;
        let plan = &self.plan;
        let gap = |number| plan.gap(&mut plan.user(view.user).child(number).stream());
        let next = match plan.schedule {
            Schedule::Live { .. } => Some(view.at + (gap(number) * SECOND as f64) as u64),
            Schedule::Day { .. } => {
                self.progress.get_mut((view.user - self.first_user) as usize).and_then(|progress| {
                    if number >= progress.views {
                        return None;
                    }
                    progress.at += gap(number);
                    Some(plan.shape.time(progress.share()))
                })
            }
        };
        match next {
            Some(at) => *top = Reverse(View { at, user: view.user, number }),
            None => {
                PeekMut::pop(top);
            }
        }
        Some(view)
    }

    /// Plans the repeat of an event, and a malformed event at the same time.
    fn follow(&mut self, plan: &Plan, event: Event, at: u64, view: u64, stream: &mut Stream) {
        if plan.repeats.share > 0.0 && stream.unit() < plan.repeats.share {
            let again = at + plan.repeats.delay.as_micros() as u64;
            self.defer(plan.within_day(again), view, Event { kind: Kind::Repeat, ..event });
        }
        if plan.malformed > 0.0 && stream.unit() < plan.malformed {
            let id = stream.uuid();
            let impression = if event.table == Table::Clicks { event.impression } else { id };
            let defects = Defect::of(event.table);
            let kind = Kind::Malformed(defects[(stream.bits() % defects.len() as u64) as usize]);
            self.defer(at, view, Event { kind, id, impression, ..event });
        }
    }

    fn defer(&mut self, at: u64, view: u64, event: Event) {
        let number = self.deferred;
        self.deferred += 1;
        self.pending.push(Reverse(Pending { at, number, view, event }));
    }
}

/// When number `n` is due at a rate per second, in microseconds.
fn paced(n: u64, rate: f64) -> u64 {
    (n as f64 * SECOND as f64 / rate) as u64
}

#[cfg(test)]
mod tests;
