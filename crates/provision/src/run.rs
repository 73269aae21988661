//! Up, preview and down: whole runs over a stack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use foretell_types::{Error, Result};

use crate::engine::{Deployment, Phase, Report, Reporter, Settings};
use crate::language::{Cache, Program};
use crate::project::{Flags, Project, configuration, full_flags};
use crate::stack::{Changes, StackEvent, StackName, StackState, StackStore, UpdateKind};
use crate::{Properties, Provider, Urn, Value};

/// Makes the provider, given the configuration and the folder of the program.
pub type MakeProvider =
    Box<dyn Fn(&BTreeMap<String, Value>, PathBuf) -> Arc<dyn Provider> + Send + Sync>;

/// A stack of a project, and what its runs need.
pub struct Runner {
    pub project: Project,
    pub name: StackName,
    pub organization: String,
    pub store: Arc<dyn StackStore>,
    pub provider: MakeProvider,
    /// Where what programs require is installed.
    pub cache: PathBuf,
    pub random: fn() -> u64,
    pub reporter: Reporter,
    /// What the command line gives of the configuration.
    pub flags: Flags,
    /// What opens the sealed values of Pulumi.STACK.yaml.
    pub passphrase: Option<String>,
    pub refresh: bool,
    /// `up` doesn't run the program in a preview first.
    pub skip_preview: bool,
    pub purge: bool,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub changes: Changes,
    pub outputs: Properties,
    /// The program failed in its preview: nothing was begun.
    pub refused: bool,
    /// Of which resource, and why. Empty: all is as the program says.
    pub failures: Vec<(Option<Urn>, String)>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Runner({})", self.name)
    }
}

impl Runner {
    /// Takes the stack to what the program says.
    ///
    /// The program runs in a preview first: what is wrong with it is found before anything is
    /// changed. If that shows that nothing at all would change, it is the only run.
    pub async fn up(&self) -> Result<Outcome> {
        let before = self.state().await?;
        let config = self.config(&before)?;
        let program = self.program().await?;
        if !self.skip_preview
            && let Some(outcome) = self.try_preview(&program, &config, &before).await?
        {
            return Ok(outcome);
        }
        if before.running {
            let note = "the last run of this stack was cut off: this one goes on from there";
            (self.reporter)(Report::Note(note.to_owned()));
        }
        let deployment = self
            .deployment(&config, false, self.reporter.clone())
            .await?;
        let started = StackEvent::UpdateStarted {
            kind: UpdateKind::Up,
            config: full_flags(&self.project, self.flags.clone()),
        };
        deployment.record(started).await?;
        self.drive(&program, &deployment).await?;
        self.end(&deployment).await
    }

    /// Runs the program in a preview; gives the outcome if that is all there is to do.
    async fn try_preview(
        &self,
        program: &Program,
        config: &BTreeMap<String, Value>,
        before: &StackState,
    ) -> Result<Option<Outcome>> {
        let (reporter, held) = held_back();
        (self.reporter)(Report::Previewing(true));
        let preview = self.run(program, config, true, reporter).await;
        (self.reporter)(Report::Previewing(false));
        let preview = preview?;
        let after = preview.state().await;
        let failed = !preview.failures().is_empty();
        let flags = full_flags(&self.project, self.flags.clone());
        let kept = flags
            .iter()
            .all(|(key, value)| before.config.get(key) == Some(value));
        let idle = preview.changes().none() && after == *before && kept && !before.running;
        if failed || idle {
            let held = std::mem::take(&mut *held.lock().unwrap_or_else(PoisonError::into_inner));
            let told = held.into_iter().filter(|report| !failed || is_told(report));
            told.for_each(|report| (self.reporter)(report));
        }
        if failed {
            return Ok(Some(Outcome {
                changes: Changes::default(),
                outputs: before.outputs().cloned().unwrap_or_default(),
                refused: true,
                failures: preview.failures(),
            }));
        }
        match idle {
            true => Ok(Some(outcome(&preview).await)),
            false => Ok(None),
        }
    }

    /// Shows what `up` would do. Nothing is changed.
    pub async fn preview(&self) -> Result<Outcome> {
        let config = self.config(&self.state().await?)?;
        let program = self.program().await?;
        let done = self
            .run(&program, &config, true, self.reporter.clone())
            .await?;
        Ok(outcome(&done).await)
    }

    /// Deletes all that the stack has. The program isn't run.
    pub async fn down(&self) -> Result<Outcome> {
        let before = self.state().await?;
        let mut config = before.config.clone();
        // What a key without a value would be matters to the program alone.
        config.extend(self.config(&before).unwrap_or_default());
        let deployment = self
            .deployment(&config, false, self.reporter.clone())
            .await?;
        let forgets = self.purge && !before.config.is_empty();
        if before.is_empty() && !forgets {
            return Ok(outcome(&deployment).await);
        }
        let started = StackEvent::UpdateStarted {
            kind: UpdateKind::Down,
            config: BTreeMap::new(),
        };
        deployment.record(started).await?;
        deployment.sweep().await?;
        self.end(&deployment).await
    }

    pub async fn state(&self) -> Result<StackState> {
        StackState::fold(self.store.load(&self.name).await?.events)
    }

    fn config(&self, state: &StackState) -> Result<BTreeMap<String, Value>> {
        let flags = full_flags(&self.project, self.flags.clone());
        configuration(
            &self.project,
            &self.name.stack,
            &state.config,
            &flags,
            self.passphrase.as_deref(),
        )
    }

    async fn program(&self) -> Result<Program> {
        let reporter = self.reporter.clone();
        let progress = move |text| reporter(Report::Note(text));
        Program::prepare(&self.project, &Cache(self.cache.clone()), &progress).await
    }

    async fn run(
        &self,
        program: &Program,
        config: &BTreeMap<String, Value>,
        preview: bool,
        reporter: Reporter,
    ) -> Result<Arc<Deployment>> {
        let deployment = self.deployment(config, preview, reporter).await?;
        self.drive(program, &deployment).await?;
        Ok(deployment)
    }

    async fn drive(&self, program: &Program, deployment: &Arc<Deployment>) -> Result<()> {
        program.run(&self.project, deployment).await?;
        deployment.sweep().await
    }

    async fn deployment(
        &self,
        config: &BTreeMap<String, Value>,
        preview: bool,
        reporter: Reporter,
    ) -> Result<Arc<Deployment>> {
        let root = self.project.working_dir();
        let settings = Settings {
            name: self.name.clone(),
            organization: self.organization.clone(),
            preview,
            refresh: self.refresh,
            purge: self.purge,
            config: config.clone(),
            root: root.clone(),
        };
        let provider = (self.provider)(config, root);
        let random = Box::new(self.random);
        let store = self.store.clone();
        Deployment::open(settings, provider, store, random, reporter)
            .await
            .map(Arc::new)
    }

    async fn end(&self, deployment: &Deployment) -> Result<Outcome> {
        let outcome = outcome(deployment).await;
        let failed = !outcome.failures.is_empty();
        let mut state = deployment.state().await;
        let purged = self.purge && !failed;
        if purged {
            state.config.clear();
        }
        let ended = StackEvent::UpdateEnded {
            changes: outcome.changes,
            failed,
            secrets: state.secrets(),
            purged,
        };
        deployment.record(ended).await?;
        Ok(outcome)
    }
}

/// A reporter that keeps what it is told, but for what takes its time.
fn held_back() -> (Reporter, Arc<Mutex<Vec<Report>>>) {
    let held = Arc::new(Mutex::new(Vec::new()));
    let into = held.clone();
    let reporter = move |report| {
        into.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(report)
    };
    (Arc::new(reporter), held)
}

/// Whether it is shown of a preview that failed: not what would have been done.
fn is_told(report: &Report) -> bool {
    match report {
        Report::Step(step) => matches!(step.phase, Phase::Failed(_)),
        _ => true,
    }
}

async fn outcome(deployment: &Deployment) -> Outcome {
    let state = deployment.state().await;
    Outcome {
        changes: deployment.changes(),
        outputs: state.outputs().cloned().unwrap_or_default(),
        refused: false,
        failures: deployment.failures(),
    }
}

/// The outputs of a stack; an error if there is no such.
pub async fn outputs(store: &dyn StackStore, name: &StackName) -> Result<Properties> {
    let state = StackState::fold(store.load(name).await?.events)?;
    let outputs = state.outputs().cloned();
    outputs.ok_or_else(|| {
        Error::not_found(format!(
            "there is no stack {name}: make it with `foretell up`"
        ))
    })
}
