use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foretell_types::{Error, Result};
use tokio::sync::Semaphore;

use super::report::{Phase, Report, Reporter, Severity, StepReport};
use crate::limits::PARALLEL_STEPS;
use crate::stack::{
    Changes, Journal, Operation, ResourceState, StackEvent, StackName, StackState, StackStore,
};
use crate::{Properties, Provider, Urn, Value};

/// What a run is about.
#[derive(Clone, Debug)]
pub struct Settings {
    pub name: StackName,
    pub organization: String,
    /// Nothing is made, changed or kept.
    pub preview: bool,
    /// Take over what others changed, as it is now, before comparing.
    pub refresh: bool,
    /// Deleting takes also what is kept otherwise: logs of topics.
    pub purge: bool,
    /// The configuration by full key, such as `azure-native:location`; secrets are wrapped.
    pub config: BTreeMap<String, Value>,
    /// The folder of the program: where paths of assets begin.
    pub root: PathBuf,
}

/// One run of a program over one stack.
pub struct Deployment {
    pub(super) settings: Settings,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) store: Arc<dyn StackStore>,
    pub(super) journal: Journal,
    pub(super) steps: Semaphore,
    /// The settings of the provider where no explicit one is named.
    pub(super) default_config: Properties,
    reporter: Reporter,
    random: Mutex<Box<dyn FnMut() -> u64 + Send>>,
    run: Mutex<Run>,
}

/// What has happened in this run.
#[derive(Default)]
pub(super) struct Run {
    /// What the program declared, by names without API versions.
    pub seen: BTreeSet<Urn>,
    /// All names that a declared resource may have had.
    pub aliases: HashMap<Urn, Vec<Urn>>,
    /// Replaced, or to be made anew since what they need was replaced.
    pub replaced: BTreeSet<Urn>,
    /// Failed, or left out since something that they need failed.
    pub failed: BTreeSet<Urn>,
    pub root: Option<Urn>,
    pub changes: Changes,
    pub failures: Vec<(Option<Urn>, String)>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deployment({})", self.settings.name)
    }
}

impl Deployment {
    pub async fn open(
        settings: Settings,
        provider: Arc<dyn Provider>,
        store: Arc<dyn StackStore>,
        random: Box<dyn FnMut() -> u64 + Send>,
        reporter: Reporter,
    ) -> Result<Deployment> {
        let journal = Journal::open(&store, &settings.name, settings.preview).await?;
        let prefix = format!("{}:", provider.supported().package);
        let default_config = settings
            .config
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
            .collect();
        Ok(Deployment {
            settings,
            provider,
            store,
            journal,
            steps: Semaphore::new(PARALLEL_STEPS),
            default_config,
            reporter,
            random: Mutex::new(random),
            run: Mutex::default(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seed(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)()
    }

    pub fn report(&self, report: Report) {
        (self.reporter)(report);
    }

    pub fn set_root(&self, urn: Urn) {
        self.run().root = Some(urn);
    }

    pub fn root(&self) -> Option<Urn> {
        self.run().root.clone()
    }

    pub fn changes(&self) -> Changes {
        self.run().changes
    }

    /// What went wrong so far: of which resource, and why.
    pub fn failures(&self) -> Vec<(Option<Urn>, String)> {
        self.run().failures.clone()
    }

    /// Takes note of a failure that is of no resource, such as the end of the program.
    pub fn fail(&self, message: String) {
        self.run().failures.push((None, message));
    }

    /// What the program logs; an error fails the run.
    pub fn log(&self, severity: Severity, urn: Option<Urn>, message: String) {
        if severity == Severity::Error {
            self.run().failures.push((urn.clone(), message.clone()));
        }
        self.report(Report::Log {
            severity,
            urn,
            message,
        });
    }

    /// The state of the stack as it is now.
    pub async fn state(&self) -> StackState {
        self.journal.with(StackState::clone).await
    }

    pub(super) async fn live(&self, urn: &Urn) -> Option<ResourceState> {
        self.journal
            .with(|state| state.resources.get(urn).cloned())
            .await
    }

    /// The settings of a resource's provider.
    pub(super) async fn config_of(&self, provider: Option<&str>) -> Result<Properties> {
        let Some(reference) = provider.filter(|reference| !reference.is_empty()) else {
            return Ok(self.default_config.clone());
        };
        let urn = reference.rsplit_once("::").map(|(urn, _)| Urn::parse(urn));
        let live = match urn {
            Some(urn) => self.live(&urn?).await,
            None => None,
        };
        let live = live.ok_or_else(|| {
            Error::invalid(format!(
                "the provider {reference:?} isn't one of this program"
            ))
        })?;
        let mut config = self.default_config.clone();
        config.extend(live.inputs);
        Ok(config)
    }

    pub(crate) async fn record(&self, event: StackEvent) -> Result<()> {
        self.journal.record(event).await
    }

    /// Records that a resource is as `resource` says, if that is news.
    pub(super) async fn keep(&self, operation: Operation, resource: ResourceState) -> Result<()> {
        if operation != Operation::Create
            && operation != Operation::Replace
            && self.live(&resource.urn).await.as_ref() == Some(&resource)
        {
            return Ok(());
        }
        self.record(StackEvent::StepEnded {
            operation,
            urn: resource.urn.clone(),
            resource: Some(Box::new(resource)),
            was: None,
            id: None,
            error: None,
        })
        .await
    }

    pub(super) fn step(&self, resource: &ResourceState, operation: Operation, phase: Phase) {
        self.step_with(StepReport::of(resource, operation, phase));
    }

    /// Reports a step, and counts it when it is done or failed.
    pub(super) fn step_with(&self, step: StepReport) {
        match &step.phase {
            Phase::Started | Phase::Skipped => {}
            Phase::Done => self.run().changes.count(step.operation),
            Phase::Failed(why) => {
                let failure = (Some(step.urn.clone()), why.clone());
                self.run().failures.push(failure);
            }
        }
        self.report(Report::Step(Box::new(step)));
    }
}
