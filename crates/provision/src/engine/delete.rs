use std::collections::{BTreeMap, BTreeSet};

use foretell_types::Result;

use super::deployment::Deployment;
use super::report::{Phase, StepReport};
use crate::Urn;
use crate::stack::{Operation, ResourceState, StackEvent, ordered};

/// A resource that goes, and where the stack has it.
struct Doomed {
    state: ResourceState,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Live,
    Replaced,
    Pending,
}

impl Deployment {
    /// Deletes what the program no longer declares and what was replaced, in the reverse of the
    /// order in which they were made. After a failure nothing is deleted, since what needs a
    /// failed resource wasn't declared.
    pub async fn sweep(&self) -> Result<()> {
        if !self.run().failures.is_empty() {
            return Ok(());
        }
        let mut doomed = self.doomed().await;
        let protected = doomed.iter().filter(|doomed| doomed.state.protect);
        let protected: Vec<_> = protected.map(|doomed| doomed.state.clone()).collect();
        if !protected.is_empty() {
            for state in protected {
                let why = "it is protected, and would be deleted: declare it, or remove `protect` in a run of its own first";
                self.step(&state, Operation::Delete, Phase::Failed(why.to_owned()));
            }
            return Ok(());
        }
        self.count_followers();
        let mut kept: BTreeSet<Urn> = BTreeSet::new();
        while let Some(next) = doomed.pop() {
            let blocked = kept.contains(&next.state.urn);
            if blocked || !self.delete(&next, &doomed).await? {
                // What it needs must stay.
                kept.extend(next.state.needs());
            }
        }
        Ok(())
    }

    /// What went with something that it needed, and isn't declared any more.
    fn count_followers(&self) {
        let mut run = self.run();
        let gone = run.replaced.iter();
        let gone = gone.filter(|urn| !run.seen.contains(&urn.unversioned()));
        let count = gone.count() as u64;
        run.changes.delete += count;
    }

    /// What is to go, each after what it needs.
    async fn doomed(&self) -> Vec<Doomed> {
        let state = self.state().await;
        let seen = self.run().seen.clone();
        let gone = |urn: &Urn| !seen.contains(&urn.unversioned());
        let mut all = Vec::new();
        let mut add = |states: Vec<ResourceState>, place| {
            all.extend(states.into_iter().map(|state| Doomed { state, place }));
        };
        add(
            state
                .resources
                .values()
                .filter(|live| gone(&live.urn))
                .cloned()
                .collect(),
            Place::Live,
        );
        add(state.replaced, Place::Replaced);
        // What this run began and didn't end failed, and then nothing is deleted.
        add(state.pending.into_values().collect(), Place::Pending);
        let mut by_urn = BTreeMap::new();
        for doomed in &all {
            by_urn.insert(doomed.state.urn.clone(), doomed.state.clone());
        }
        let order = ordered(&by_urn);
        let places: BTreeMap<_, _> = order
            .iter()
            .enumerate()
            .map(|(at, urn)| (urn, at))
            .collect();
        all.sort_by_key(|doomed| places.get(&doomed.state.urn).copied());
        all
    }

    /// Deletes one; false if that failed.
    async fn delete(&self, doomed: &Doomed, rest: &[Doomed]) -> Result<bool> {
        let state = &doomed.state;
        let operation = match state.external {
            true => Operation::Read,
            false => Operation::Delete,
        };
        // What was only looked at leaves no trace, and the end of a replacement is part of it.
        let shown = !state.external && doomed.place == Place::Live;
        if shown {
            self.step(state, operation, Phase::Started);
        }
        let with_another = state
            .deleted_with
            .as_ref()
            .is_some_and(|urn| rest.iter().any(|other| other.state.urn == *urn));
        if !with_another {
            if !self.settings.preview {
                self.record(StackEvent::StepStarted {
                    operation: Operation::Delete,
                    urn: state.urn.clone(),
                    resource: None,
                })
                .await?;
            }
            if let Err(error) = self.delete_state(state).await {
                self.step(state, Operation::Delete, Phase::Failed(error.to_string()));
                return Ok(false);
            }
        }
        self.record(StackEvent::StepEnded {
            operation: Operation::Delete,
            urn: state.urn.clone(),
            resource: None,
            was: None,
            id: state.id.clone().filter(|_| doomed.place != Place::Pending),
            error: None,
        })
        .await?;
        if shown {
            let mut report = StepReport::of(state, operation, Phase::Done);
            report.note = (state.custom && state.retain_on_delete)
                .then(|| "retained: it stays where it is".to_owned());
            self.step_with(report);
        }
        Ok(true)
    }
}
