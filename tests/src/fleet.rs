//! Greeters in processes of their own, under one name: what a load calls, and what a test takes
//! nodes away from.

use std::collections::BTreeMap;

use crate::peers::{Ended, Program, Running};

/// A greeter's flag: how long its handlers run, so that there are calls in flight at any time.
pub const HOLD: &str = "hold=20ms";

/// Nodes of one service.
#[derive(Debug)]
pub struct Fleet {
    name: String,
    program: Program,
    nodes: Vec<Option<Running>>,
    ran: Ran,
}

/// Where handlers have run.
#[derive(Clone, Debug, Default)]
pub struct Ran(BTreeMap<String, Vec<usize>>);

impl Ran {
    /// The numbers of the nodes where the handler of the call with this key has run: once for each
    /// time.
    pub fn of(&self, key: &str) -> &[usize] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

impl Fleet {
    /// Starts `count` nodes of the service `name`, called `name-1`, `name-2` and so on. `program` is
    /// a greeter, with the flags of the registry.
    ///
    /// # Panics
    /// Where one is not ready in time.
    pub fn start(program: &Program, name: &str, count: usize) -> Self {
        let mut fleet = Self::new(program, name);
        (0..count).for_each(|_| fleet.grow());
        fleet
    }

    /// A fleet that has no nodes yet.
    pub fn new(program: &Program, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            program: program.clone(),
            nodes: Vec::new(),
            ran: Ran::default(),
        }
    }

    /// Starts one more node, whose number is the next.
    ///
    /// # Panics
    /// Where it is not ready in time.
    pub fn grow(&mut self) {
        self.grow_as(&self.program.clone());
    }

    /// As [`grow`](Fleet::grow), of another program, or of the same with other flags.
    ///
    /// # Panics
    /// Where it is not ready in time.
    pub fn grow_as(&mut self, program: &Program) {
        let name = format!("name={}", self.name);
        let id = format!("id={}", self.nodes.len() + 1);
        let node = program.serve(&[&name, &id, "trace"]);
        self.nodes.push(Some(node));
    }

    /// A node that is there.
    ///
    /// # Panics
    /// Where it is not there any more.
    pub fn node(&self, number: usize) -> &Running {
        self.nodes[number - 1].as_ref().expect("the node is there")
    }

    /// The name of its service.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of a node; the first is number 1.
    pub fn id(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Waits until handlers of the node have run so often since this was last waited for.
    ///
    /// # Panics
    /// Where the node is not there any more, or none runs for half a minute.
    pub fn wait_for_calls(&mut self, number: usize, calls: usize) {
        let node = self.nodes[number - 1].as_mut().expect("the node is there");
        for _ in 0..calls {
            node.wait_for("RAN ");
        }
    }

    /// How often handlers of the node have run until now for calls whose key begins so.
    ///
    /// # Panics
    /// Where it is not there any more.
    pub fn calls(&mut self, number: usize, key: &str) -> usize {
        let node = self.nodes[number - 1].as_mut().expect("the node is there");
        node.count(&format!("RAN {key}"))
    }

    /// Ends a node as a crash does.
    ///
    /// # Panics
    /// Where it is not there any more.
    pub fn crash(&mut self, number: usize) {
        let node = self.take(number);
        self.note(number, &node.crash());
    }

    /// Asks a node to stop, waits for its end, and gives it.
    ///
    /// # Panics
    /// Where it is not there any more.
    pub fn terminate(&mut self, number: usize) -> Ended {
        let ended = self.take(number).terminate();
        self.note(number, &ended);
        ended
    }

    /// Stops the nodes that are left and tells where handlers have run.
    ///
    /// # Panics
    /// Where a node cannot be asked.
    pub fn stop(mut self) -> Ran {
        for number in 1..=self.nodes.len() {
            if self.nodes[number - 1].is_some() {
                self.terminate(number);
            }
        }
        self.ran
    }

    fn take(&mut self, number: usize) -> Running {
        self.nodes[number - 1].take().expect("the node is there")
    }

    fn note(&mut self, number: usize, ended: &Ended) {
        for key in ended
            .lines
            .iter()
            .filter_map(|line| line.strip_prefix("RAN "))
        {
            self.ran.0.entry(key.to_owned()).or_default().push(number);
        }
    }
}
