//! The engine over a small provider in memory: every kind of step, failures, runs that are cut
//! off, and random programs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use foretell_types::{Error, ErrorKind, Result};

use super::*;
use crate::stack::{History, MemoryStore, StackEvent, StackName, StackState, StackStore};
use crate::{
    Check, CheckFailure, Create, Created, Delete, Diff, Invoke, Known, Partial, Properties,
    Provider, Read, Resource, Supported, Update, Urn, Value, compare,
};

const THING: &str = "test:index:Thing";

/// Things by id. `name` and `fixed` replace; `fail` fails; a name that isn't given is made.
#[derive(Default)]
struct World {
    things: Mutex<BTreeMap<String, Properties>>,
    calls: Mutex<Vec<String>>,
    failing: Mutex<bool>,
}

impl World {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn note(&self, call: &str, id: &str) {
        self.calls.lock().unwrap().push(format!("{call} {id}"));
    }

    fn fails(&self, inputs: &Properties) -> Result<()> {
        let asked = inputs.get("fail").and_then(Value::as_bool) == Some(true);
        if asked && *self.failing.lock().unwrap() {
            return Err(Error::invalid("it was asked to fail"));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for World {
    fn supported(&self) -> Supported {
        Supported {
            package: "test",
            types: vec![THING],
            refused: Vec::new(),
            functions: vec!["test:index:echo"],
        }
    }

    fn check(&self, check: Check<'_>) -> Result<Properties, Vec<CheckFailure>> {
        if check.inputs.contains_key("wrong") {
            return Err(vec![CheckFailure {
                property: "wrong".to_owned(),
                reason: "there is no such property".to_owned(),
            }]);
        }
        let mut inputs = check.inputs.clone();
        if !inputs.contains_key("name") {
            let kept = check.old.and_then(|old| old.get("name")).cloned();
            let made = || format!("{}-{:x}", check.resource.urn.name(), check.seed).into();
            inputs.insert("name".to_owned(), kept.unwrap_or_else(made));
        }
        Ok(inputs)
    }

    fn diff(&self, _: Resource<'_>, old: &Properties, new: &Properties) -> Diff {
        let mut changes = compare(old, new);
        for change in &mut changes {
            change.replace = matches!(change.property(), "name" | "fixed");
        }
        Diff { changes }
    }

    fn identify(&self, _: Resource<'_>, inputs: &Properties) -> Option<String> {
        inputs
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned)
    }

    async fn create(&self, create: Create<'_>) -> Result<Created, Partial> {
        let id = create.inputs["name"].as_str().unwrap_or("").to_owned();
        self.note("create", &id);
        self.fails(create.inputs)?;
        let mut things = self.things.lock().unwrap();
        if things.contains_key(&id) && !create.resumed {
            let message = format!("{id:?} is there already");
            return Err(Error::new(ErrorKind::Conflict, message).into());
        }
        things.insert(id.clone(), create.inputs.clone());
        Ok(Created {
            id,
            outputs: create.inputs.clone(),
        })
    }

    async fn read(&self, _: Resource<'_>, id: &str, _: Option<Known<'_>>) -> Result<Option<Read>> {
        let found = self.things.lock().unwrap().get(id).cloned();
        Ok(found.map(|found| Read {
            id: id.to_owned(),
            inputs: found.clone(),
            outputs: found,
        }))
    }

    async fn update(&self, update: Update<'_>) -> Result<Properties, Partial> {
        self.note("update", update.id);
        self.fails(update.inputs)?;
        let inputs = update.inputs.clone();
        self.things
            .lock()
            .unwrap()
            .insert(update.id.to_owned(), inputs.clone());
        Ok(inputs)
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<()> {
        self.note("delete", delete.id);
        if delete.inputs.contains_key("stuck") {
            std::future::pending::<()>().await;
        }
        self.things.lock().unwrap().remove(delete.id);
        Ok(())
    }

    async fn invoke(&self, invoke: Invoke<'_>) -> Result<Properties> {
        Ok(invoke.args.clone())
    }
}

/// A store whose process is killed after so many appends.
struct Killed {
    inner: Arc<MemoryStore>,
    left: Mutex<u64>,
}

#[async_trait]
impl StackStore for Killed {
    async fn load(&self, stack: &StackName) -> Result<History> {
        self.inner.load(stack).await
    }

    async fn append(&self, stack: &StackName, length: u64, events: &[StackEvent]) -> Result<()> {
        {
            let mut left = self.left.lock().unwrap();
            if *left == 0 {
                return Err(Error::unavailable("killed"));
            }
            *left -= 1;
        }
        self.inner.append(stack, length, events).await
    }

    async fn list(&self) -> Result<Vec<StackName>> {
        self.inner.list().await
    }
}

struct Bench {
    world: Arc<World>,
    store: Arc<MemoryStore>,
}

fn name() -> StackName {
    StackName::new("p", "dev").unwrap()
}

fn urn(name: &str) -> Urn {
    Urn::new("dev", "p", None, THING, name)
}

fn thing(name: &str, properties: &[(&str, Value)]) -> Goal {
    Goal {
        token: THING.to_owned(),
        name: name.to_owned(),
        custom: true,
        inputs: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        ..Goal::default()
    }
}

fn needing(mut goal: Goal, needs: &[&str]) -> Goal {
    goal.dependencies = needs.iter().map(|name| urn(name)).collect();
    goal
}

impl Bench {
    fn new() -> Bench {
        Bench {
            world: Arc::default(),
            store: Arc::default(),
        }
    }

    async fn open(&self, store: Arc<dyn StackStore>, preview: bool) -> Result<Deployment> {
        let settings = Settings {
            name: name(),
            organization: "o".to_owned(),
            preview,
            refresh: false,
            purge: false,
            config: BTreeMap::new(),
            root: std::env::temp_dir(),
        };
        let mut seed = 0;
        let random = Box::new(move || {
            seed += 1;
            seed
        });
        Deployment::open(
            settings,
            self.world.clone(),
            store,
            random,
            Arc::new(|_| {}),
        )
        .await
    }

    async fn run(
        &self,
        store: Arc<dyn StackStore>,
        goals: &[Goal],
        preview: bool,
    ) -> Result<Deployment> {
        let deployment = self.open(store, preview).await?;
        for goal in goals {
            deployment.register(goal.clone()).await?;
        }
        deployment.sweep().await?;
        Ok(deployment)
    }

    async fn up(&self, goals: &[Goal]) -> Deployment {
        self.run(self.store.clone(), goals, false).await.unwrap()
    }

    async fn state(&self) -> StackState {
        StackState::fold(self.store.load(&name()).await.unwrap().events).unwrap()
    }
}

#[tokio::test]
async fn twice_changes_nothing_and_a_change_updates() {
    let bench = Bench::new();
    let first = bench.up(&[thing("a", &[("size", 1.0.into())])]).await;
    assert_eq!(first.changes().create, 1);
    assert_eq!(bench.world.told(), ["create a-1"]);
    let events = bench.store.load(&name()).await.unwrap().events.len();
    let second = bench.up(&[thing("a", &[("size", 1.0.into())])]).await;
    assert!(second.changes().none() && bench.world.told().is_empty());
    assert_eq!(
        bench.store.load(&name()).await.unwrap().events.len(),
        events
    );
    let third = bench.up(&[thing("a", &[("size", 2.0.into())])]).await;
    assert_eq!(
        (third.changes().update, bench.world.told()),
        (1, vec!["update a-1".to_owned()])
    );
}

#[tokio::test]
async fn a_replacement_is_made_before_the_old_one_goes() {
    let bench = Bench::new();
    bench.up(&[thing("a", &[("fixed", 1.0.into())])]).await;
    bench.world.told();
    let done = bench.up(&[thing("a", &[("fixed", 2.0.into())])]).await;
    assert_eq!((done.changes().replace, done.changes().delete), (1, 0));
    assert_eq!(bench.world.told(), ["create a-2", "delete a-1"]);
    assert!(bench.state().await.replaced.is_empty());
    let mut first = thing("a", &[("fixed", 3.0.into())]);
    first.options.delete_before_replace = Some(true);
    bench.up(&[first]).await;
    assert_eq!(bench.world.told(), ["delete a-2", "create a-2"]);
}

#[tokio::test]
async fn what_keeps_its_name_goes_first_and_so_does_what_needs_it() {
    let bench = Bench::new();
    let program = |size: f64| {
        let mut b = needing(
            thing("b", &[("name", "b".into()), ("fixed", size.into())]),
            &["a"],
        );
        b.property_dependencies
            .insert("fixed".to_owned(), vec![urn("a")]);
        [
            thing("a", &[("name", "a".into()), ("fixed", size.into())]),
            b,
        ]
    };
    bench.up(&program(1.0)).await;
    bench.world.told();
    let done = bench.up(&program(2.0)).await;
    assert_eq!(
        bench.world.told(),
        ["delete b", "delete a", "create a", "create b"]
    );
    assert_eq!((done.changes().replace, done.changes().create), (2, 0));
}

#[tokio::test]
async fn deleting_goes_against_the_order_of_needs() {
    let bench = Bench::new();
    let a = thing("a", &[("name", "a".into())]);
    let b = needing(thing("b", &[("name", "b".into())]), &["a"]);
    let c = needing(thing("c", &[("name", "c".into())]), &["b"]);
    bench.up(&[a, b, c]).await;
    bench.world.told();
    let done = bench.up(&[]).await;
    assert_eq!(bench.world.told(), ["delete c", "delete b", "delete a"]);
    assert_eq!(done.changes().delete, 3);
    assert!(bench.state().await.is_empty());
}

#[tokio::test]
async fn a_failure_leaves_out_what_needs_it_and_the_next_run_goes_on() {
    let bench = Bench::new();
    *bench.world.failing.lock().unwrap() = true;
    let program = [
        thing("a", &[("name", "a".into()), ("fail", true.into())]),
        needing(thing("b", &[("name", "b".into())]), &["a"]),
        thing("c", &[("name", "c".into())]),
    ];
    let failed = bench.up(&program).await;
    assert_eq!(failed.failures().len(), 1);
    assert_eq!(bench.world.told(), ["create a", "create c"]);
    *bench.world.failing.lock().unwrap() = false;
    let done = bench.up(&program).await;
    assert!(done.failures().is_empty());
    assert_eq!(bench.world.told(), ["create a", "create b"]);
}

#[tokio::test]
async fn what_is_protected_is_neither_replaced_nor_deleted() {
    let bench = Bench::new();
    let mut goal = thing("a", &[("name", "a".into())]);
    goal.options.protect = true;
    bench.up(&[goal.clone()]).await;
    bench.world.told();
    let mut other = goal.clone();
    other.inputs.insert("name".to_owned(), "other".into());
    for program in [vec![], vec![other]] {
        let failed = bench.up(&program).await;
        assert!(
            failed.failures()[0].1.contains("protected"),
            "{:?}",
            failed.failures()
        );
        assert!(bench.world.told().is_empty());
    }
}

#[tokio::test]
async fn options_are_honoured() {
    let bench = Bench::new();
    let mut goal = thing("a", &[("name", "a".into()), ("size", 1.0.into())]);
    bench.up(&[goal.clone()]).await;
    let mut ignoring = goal.clone();
    ignoring.inputs.insert("size".to_owned(), 2.0.into());
    ignoring.options.ignore_changes = vec!["size".to_owned()];
    assert!(bench.up(&[ignoring.clone()]).await.changes().none());
    let mut replacing = ignoring;
    replacing.options.ignore_changes.clear();
    replacing.options.replace_on_changes = vec!["size".to_owned()];
    assert_eq!(bench.up(&[replacing]).await.changes().replace, 1);
    goal.options.retain_on_delete = true;
    bench.up(&[goal]).await;
    bench.world.told();
    bench.up(&[]).await;
    assert!(bench.world.told().is_empty(), "it is retained");
}

#[tokio::test]
async fn deleting_may_take_only_so_long() {
    let bench = Bench::new();
    let mut goal = thing("a", &[("stuck", true.into())]);
    goal.options.timeouts.delete = Some(std::time::Duration::from_millis(1));
    bench.up(&[goal]).await;
    let failed = bench.up(&[]).await;
    let (of, why) = &failed.failures()[0];
    assert_eq!(of.as_ref(), Some(&urn("a")));
    assert!(why.contains("it took more than"), "{why}");
    assert_eq!(bench.state().await.resources.len(), 1);
}

#[tokio::test]
async fn an_alias_and_a_former_parent_are_the_same_resource() {
    let bench = Bench::new();
    bench.up(&[thing("old", &[("size", 1.0.into())])]).await;
    bench.world.told();
    let parent = Goal {
        token: "my:index:Part".to_owned(),
        name: "part".to_owned(),
        ..Goal::default()
    };
    let mut goal = thing("new", &[("size", 1.0.into())]);
    goal.parent = Some(Urn::new("dev", "p", None, "my:index:Part", "part"));
    goal.options.aliases = vec![Alias::Spec {
        name: Some("old".to_owned()),
        token: None,
        stack: None,
        project: None,
        parent: AliasParent::None,
    }];
    let done = bench.up(&[parent, goal]).await;
    assert_eq!((done.changes().same, done.changes().delete), (1, 0));
    assert!(bench.world.told().is_empty());
}

#[tokio::test]
async fn types_that_are_not_known_are_named_and_a_preview_changes_nothing() {
    let bench = Bench::new();
    let mut unknown = thing("a", &[]);
    unknown.token = "test:index:Other".to_owned();
    let program = [
        unknown,
        thing("b", &[("wrong", 1.0.into())]),
        thing("c", &[]),
    ];
    let preview = bench
        .run(bench.store.clone(), &program, true)
        .await
        .unwrap();
    let failures = preview.failures();
    assert!(
        failures[0]
            .1
            .contains("test:index:Other isn't supported here; these types are: test:index:Thing")
    );
    assert_eq!(failures[1].1, "wrong: there is no such property");
    assert_eq!(preview.changes().create, 1);
    assert!(bench.world.told().is_empty());
    assert!(bench.store.load(&name()).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn what_is_gone_is_made_again() {
    let bench = Bench::new();
    bench.up(&[thing("a", &[])]).await;
    bench.world.things.lock().unwrap().clear();
    bench.world.told();
    let done = bench.up(&[thing("a", &[])]).await;
    assert_eq!(
        (done.changes().create, bench.world.told()),
        (1, vec!["create a-1".to_owned()])
    );
}

#[tokio::test]
async fn import_takes_what_is_there_if_it_is_the_same() {
    let bench = Bench::new();
    let there = thing("x", &[("name", "there".into()), ("size", 1.0.into())]).inputs;
    bench
        .world
        .things
        .lock()
        .unwrap()
        .insert("there".to_owned(), there);
    let mut goal = thing("a", &[("name", "there".into()), ("size", 2.0.into())]);
    goal.options.import = Some("there".to_owned());
    let failed = bench.up(&[goal.clone()]).await;
    assert!(
        failed.failures()[0]
            .1
            .contains("differs from the program in size")
    );
    // What can't be read of it, and what the program leaves out, doesn't differ.
    goal.inputs.insert("size".to_owned(), 1.0.into());
    goal.inputs.insert("price".to_owned(), 1.0.into());
    assert_eq!(bench.up(&[goal.clone()]).await.changes().import, 1);
    assert_eq!(bench.up(&[goal]).await.changes().same, 1);
    assert!(bench.world.told().is_empty());
}

#[tokio::test]
async fn two_runs_of_one_stack_do_not_mix() {
    let bench = Bench::new();
    let one = bench.open(bench.store.clone(), false).await.unwrap();
    bench.up(&[thing("a", &[])]).await;
    let error = one.register(thing("b", &[])).await.unwrap_err();
    assert!(
        error
            .message()
            .contains("another run of stack p/dev is under way"),
        "{error}"
    );
}

mod random {
    use proptest::prelude::*;

    use super::*;

    /// Things by number: their size, whether it replaces, and which earlier ones they need.
    type Plan = BTreeMap<u8, (u8, u8, Vec<u8>)>;

    fn plans() -> impl Strategy<Value = Plan> {
        let one = (0..3u8, 0..2u8, proptest::collection::vec(0..6u8, 0..3));
        proptest::collection::btree_map(0..6u8, one, 0..6)
    }

    fn goals(plan: &Plan) -> Vec<Goal> {
        plan.iter()
            .map(|(number, (size, fixed, needs))| {
                let text = format!("t{number}");
                let named = (number % 2 == 0).then(|| ("name", Value::from(text.as_str())));
                let mut properties = vec![
                    ("size", f64::from(*size).into()),
                    ("fixed", f64::from(*fixed).into()),
                ];
                properties.extend(named);
                let mut goal = thing(&text, &properties);
                let needs = needs
                    .iter()
                    .filter(|need| **need < *number && plan.contains_key(need));
                goal.dependencies = needs.map(|need| urn(&format!("t{need}"))).collect();
                for need in &goal.dependencies {
                    goal.property_dependencies
                        .entry("fixed".to_owned())
                        .or_default()
                        .push(need.clone());
                }
                goal
            })
            .collect()
    }

    fn holds(bench: &Bench, state: &StackState, plan: &Plan) {
        let things = bench.world.things.lock().unwrap();
        assert_eq!(things.len(), plan.len(), "{things:?}");
        assert_eq!(state.resources.len(), plan.len());
        assert!(state.pending.is_empty() && state.replaced.is_empty());
        for (number, (size, fixed, _)) in plan {
            let resource = &state.resources[&urn(&format!("t{number}"))];
            let there = &things[resource.id.as_ref().unwrap()];
            assert_eq!(there["size"].as_i64(), Some((*size).into()));
            assert_eq!(there["fixed"].as_i64(), Some((*fixed).into()));
            assert!(!resource.incomplete);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// After each run the stack and the world are what the program says, wherever earlier
        /// runs were killed.
        #[test]
        fn the_world_is_what_the_program_says(
            steps in proptest::collection::vec((plans(), 0..12u64), 1..5),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let bench = Bench::new();
                for (plan, kill_after) in &steps {
                    let killed = Arc::new(Killed {
                        inner: bench.store.clone(),
                        left: Mutex::new(*kill_after),
                    });
                    // Killed or not, the next run goes on.
                    let _ = bench.run(killed, &goals(plan), false).await;
                    let done = bench.up(&goals(plan)).await;
                    assert!(done.failures().is_empty(), "{:?}", done.failures());
                    holds(&bench, &bench.state().await, plan);
                    let again = bench.up(&goals(plan)).await;
                    assert!(again.changes().none());
                }
            });
        }
    }
}
