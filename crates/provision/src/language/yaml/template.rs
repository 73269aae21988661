use std::collections::BTreeMap;

use foretell_types::{Error, Result};

use super::expression::Expression;
use super::options::Written;
use super::order;
use crate::project::{Node, Project, read};

/// A program in Pulumi YAML, read and checked: every reference in it leads somewhere.
#[derive(Debug)]
pub struct Template {
    pub parts: BTreeMap<String, Part>,
    pub outputs: Vec<(String, Expression)>,
    /// The parts, each after those that it needs.
    pub order: Vec<String>,
    /// The file that it is in, for messages.
    pub file: String,
    /// The names by which values of the configuration go, and their full keys.
    pub config: BTreeMap<String, (String, Option<String>)>,
}

/// What has a name in a program.
#[derive(Debug)]
pub enum Part {
    Resource(Box<Declaration>),
    Variable(Expression),
}

#[derive(Debug)]
pub struct Declaration {
    pub line: usize,
    pub token: String,
    /// The resource's own name, if it isn't that of the part.
    pub name: Option<String>,
    pub properties: Vec<(String, Expression)>,
    pub options: Written,
    /// Looks at one that is there already.
    pub get: Option<Get>,
}

#[derive(Debug)]
pub struct Get {
    pub id: Expression,
    pub state: Option<Expression>,
}

const SECTIONS: [&str; 5] = [
    "resources",
    "variables",
    "outputs",
    "config",
    "configuration",
];

impl Template {
    pub fn read(project: &Project) -> Result<Template> {
        let (file, node) = match project.main == project.dir {
            true => (project.file.clone(), project.node.clone()),
            false => {
                let file = match project.main.is_file() {
                    true => project.main.clone(),
                    false => project.main.join("Main.yaml"),
                };
                let node = read(&file)?;
                (file, node)
            }
        };
        let file = file.display().to_string();
        Template::of(project, &node, file.clone()).map_err(|error| error.context(file))
    }

    pub fn of(project: &Project, node: &Node, file: String) -> Result<Template> {
        let mut parts = BTreeMap::new();
        let mut add = |name: &str, line: usize, part: Part| {
            if name == "pulumi" {
                return Err(Error::invalid(format!(
                    "line {line}: the name \"pulumi\" is taken"
                )));
            }
            match parts.insert(name.to_owned(), part) {
                Some(_) => Err(Error::invalid(format!(
                    "line {line}: the name {name:?} is given twice"
                ))),
                None => Ok(()),
            }
        };
        if let Some(resources) = node.get("resources") {
            for (name, node) in resources.entries("resources")? {
                let declaration = Declaration::read(node)
                    .map_err(|error| error.context(format!("resources.{name}")))?;
                add(name, node.line, Part::Resource(Box::new(declaration)))?;
            }
        }
        if let Some(variables) = node.get("variables") {
            for (name, node) in variables.entries("variables")? {
                let expression = Expression::of(node)
                    .map_err(|error| error.context(format!("variables.{name}")))?;
                add(name, node.line, Part::Variable(expression))?;
            }
        }
        let mut outputs = Vec::new();
        if let Some(node) = node.get("outputs") {
            for (name, node) in node.entries("outputs")? {
                let expression = Expression::of(node)
                    .map_err(|error| error.context(format!("outputs.{name}")))?;
                outputs.push((name.clone(), expression));
            }
        }
        if parts.is_empty() && outputs.is_empty() {
            let sections = SECTIONS[..3].join(", ");
            return Err(Error::invalid(format!(
                "the program is empty: it has none of {sections}"
            )));
        }
        let prefix = format!("{}:", project.name);
        let mut config = BTreeMap::new();
        for declared in project.declared()? {
            let short = declared.key.strip_prefix(&prefix).unwrap_or(&declared.key);
            config.insert(
                short.to_owned(),
                (declared.key.clone(), declared.kind.clone()),
            );
        }
        let order = order::order(&parts, &outputs, &config)?;
        Ok(Template {
            parts,
            outputs,
            order,
            file,
            config,
        })
    }
}

impl Declaration {
    fn read(node: &Node) -> Result<Declaration> {
        node.only(
            "a resource",
            &[
                "type",
                "name",
                "properties",
                "options",
                "get",
                "defaultProvider",
                "metadata",
                "condition",
            ],
        )?;
        if let Some(node) = node.get("condition") {
            return Err(node.wrong("conditions of resources aren't supported"));
        }
        let token = node.get("type").and_then(Node::text);
        let token = token.ok_or_else(|| node.wrong("the type of the resource is missing"))?;
        if token.split(':').count() < 2 {
            return Err(node.wrong(format_args!(
                "{token:?} is no type: expected package:module:Type, such as azure-native:eventgrid:Topic"
            )));
        }
        let mut properties = Vec::new();
        if let Some(node) = node.get("properties") {
            for (name, node) in node.entries("properties")? {
                let expression = Expression::of(node)
                    .map_err(|error| error.context(format!("properties.{name}")))?;
                properties.push((name.clone(), expression));
            }
        }
        let get = match node.get("get") {
            None => None,
            Some(node) => {
                node.only("get", &["id", "state"])?;
                let id = node
                    .get("id")
                    .ok_or_else(|| node.wrong("the id of get is missing"))?;
                Some(Get {
                    id: Expression::of(id)?,
                    state: node.get("state").map(Expression::of).transpose()?,
                })
            }
        };
        let options = node.get("options").map(Written::read).transpose()?;
        Ok(Declaration {
            line: node.line,
            token: full_token(token),
            name: node.get("name").and_then(Node::text).map(str::to_owned),
            properties,
            options: options.unwrap_or_default(),
            get,
        })
    }

    pub fn references(&self, found: &mut Vec<(usize, String)>) {
        self.properties
            .iter()
            .for_each(|(_, value)| value.references(found));
        self.options.references(found);
        if let Some(get) = &self.get {
            get.id.references(found);
            if let Some(state) = &get.state {
                state.references(found);
            }
        }
    }
}

/// A type as URNs have it: `pulumi:providers:X` and tokens with a module are so already, a type
/// without one is of the module `index`.
fn full_token(token: &str) -> String {
    match token.split(':').collect::<Vec<_>>().as_slice() {
        [package, name] => format!("{package}:index:{name}"),
        _ => token.to_owned(),
    }
}
