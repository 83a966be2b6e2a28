//! What is compared: the gateway, and the same Envoy with less in it.

use crate::{BenchError, cpu, load};
use pax_stack::{Layout, Stack, StackError};
use serde_yaml_ng::Value;
use std::path::PathBuf;

/// The variants, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// No filter but the router.
    Bare,
    /// A filter that does nothing.
    Empty,
    /// A filter that copies bodies.
    Copy,
    /// The gateway, called by free accounts.
    Gateway,
    /// The gateway, called by accounts of tier credit.
    Credit,
    /// Another module in the gateway's place, called by free accounts: the file that `BENCH_BEFORE` names.
    Before,
    /// The gateway with the allocator talc in place of its own.
    Talc,
    /// The gateway without the template of a stream's chunks.
    NoTemplate,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Bare,
        Self::Empty,
        Self::Copy,
        Self::Gateway,
        Self::Credit,
        Self::Before,
        Self::Talc,
        Self::NoTemplate,
    ];

    /// Those that are measured: the module of `BENCH_BEFORE` only if there is one, and the gateway without one of its
    /// parts only with `BENCH_VARIANTS=1`.
    pub fn chosen() -> Vec<Self> {
        let wanted = |variant: &Self| match variant {
            Self::Before => before().is_some(),
            Self::Talc | Self::NoTemplate => crate::is_set("BENCH_VARIANTS"),
            _ => true,
        };
        Self::ALL.into_iter().filter(wanted).collect()
    }

    /// In a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare Envoy",
            Self::Empty => "empty wasm filter",
            Self::Copy => "wasm filter that copies bodies",
            Self::Gateway => "the gateway, free account",
            Self::Credit => "the gateway, credit account",
            Self::Before => "before, free account",
            Self::Talc => "with talc for its own allocator",
            Self::NoTemplate => "without the template of chunks",
        }
    }

    /// In JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Empty => "empty",
            Self::Copy => "copy",
            Self::Gateway => "gateway",
            Self::Credit => "credit",
            Self::Before => "before",
            Self::Talc => "talc",
            Self::NoTemplate => "no_template",
        }
    }

    /// Whether it meters calls, and has a ledger.
    pub fn is_gateway(self) -> bool {
        !matches!(self, Self::Bare | Self::Empty | Self::Copy)
    }

    /// The tier of its callers.
    fn tier(self) -> &'static str {
        if self == Self::Credit { "credit" } else { "free" }
    }

    /// Starts this variant with one worker, before that provider.
    ///
    /// # Errors
    /// [`BenchError::Stack`].
    fn start(self, upstream: &str) -> Result<Running, BenchError> {
        let mut layout = Layout::find()?;
        let modules = layout.root.join("dist/bench");
        match self {
            Self::Empty => layout.wasm = modules.join("empty.wasm"),
            Self::Copy => layout.wasm = modules.join("copy.wasm"),
            Self::Talc => layout.wasm = modules.join("talc.wasm"),
            Self::NoTemplate => layout.wasm = modules.join("no_template.wasm"),
            Self::Before => layout.wasm = before().unwrap_or_default(),
            Self::Bare | Self::Gateway | Self::Credit => {}
        }
        let builder =
            Stack::builder().layout(layout).standin_at(upstream).hosts(["gateway.test"]).concurrency(1);
        let stack = match self.is_gateway() {
            true => builder,
            false => builder.change_envoy_config(move |yaml| self.less(&yaml)),
        };
        let stack = stack.start()?;
        if self.is_gateway() {
            for caller in (0..load::CALLERS).map(load::token) {
                stack.ledger(["account", "create", &caller, "--tier", self.tier()])?;
                if self == Self::Credit {
                    stack.ledger([
                        "grant",
                        &caller,
                        "1000000",
                        "--class",
                        "promotion",
                        "--reason",
                        "bench",
                    ])?;
                }
                stack.ledger(["token", "add", &caller, "--name", "bench", "--token", &caller])?;
            }
        }
        let process = |wanted: &str| {
            let found = stack.processes().into_iter().find(|(name, _)| *name == wanted);
            found.map(|(_, id)| id).ok_or_else(|| BenchError::Failed(format!("{wanted} does not run")))
        };
        let (envoy, ledger) = (process("Envoy")?, process("ledger")?);
        let answered_before = answered(&stack);
        Ok(Running { variant: self, stack, envoy, ledger, answered_before })
    }

    /// The gateway's own configuration with one route, which nothing has to be marked for, without the filter's
    /// second instance on the main thread, and for bare Envoy without any filter but the router.
    fn less(self, yaml: &str) -> Result<String, StackError> {
        let odd =
            |what: &str| StackError::Config(format!("envoy/envoy.yaml, as the benchmark reads it: {what}"));
        let mut config: Value = serde_yaml_ng::from_str(yaml).map_err(|error| odd(&error.to_string()))?;
        let extensions = config.as_mapping_mut().and_then(|config| config.remove("bootstrap_extensions"));
        extensions.ok_or_else(|| odd("no bootstrap_extensions"))?;
        let manager =
            &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
        let routes = manager["route_config"]["virtual_hosts"][0]["routes"].as_sequence_mut();
        let routes = routes.ok_or_else(|| odd("no routes"))?;
        let provider = routes.first_mut().ok_or_else(|| odd("no route"))?;
        let mark = provider["match"].as_mapping_mut().and_then(|rule| rule.remove("filter_state"));
        mark.ok_or_else(|| odd("the first route asks for no mark"))?;
        routes.truncate(1);
        if self == Self::Bare {
            let filters = manager["http_filters"].as_sequence_mut().ok_or_else(|| odd("no http_filters"))?;
            filters.retain(|filter| filter["name"].as_str() == Some("envoy.filters.http.router"));
            if filters.len() != 1 {
                return Err(odd("no router"));
            }
        }
        serde_yaml_ng::to_string(&config).map_err(|error| odd(&error.to_string()))
    }
}

/// A variant that runs.
pub struct Running {
    /// Which one.
    pub variant: Variant,
    /// All of it.
    pub stack: Stack,
    /// Envoy's process id.
    pub envoy: u32,
    /// The ledger's.
    pub ledger: u32,
    /// How many answers with 2xx it had given before the first call: to the stack, which asks whether it is up.
    pub answered_before: u64,
}

impl Running {
    /// Starts a variant before that provider, its Envoy on that core.
    ///
    /// # Errors
    /// [`BenchError`] when it does not start.
    pub async fn start(variant: Variant, upstream: &str, core: usize) -> Result<Self, BenchError> {
        let upstream = upstream.to_string();
        // Starting blocks, and the provider has to answer meanwhile.
        let started = tokio::task::spawn_blocking(move || variant.start(&upstream)).await;
        let started = started.map_err(|error| BenchError::Failed(error.to_string()))??;
        cpu::pin_process(started.envoy, core)?;
        Ok(started)
    }

    /// Envoy's CPU time so far, in nanoseconds.
    ///
    /// # Errors
    /// [`BenchError::System`] when it is gone.
    pub fn cpu_ns(&self) -> Result<u64, BenchError> {
        cpu::time_ns(self.envoy)
    }

    /// How many calls were answered with 2xx.
    pub fn answered(&self) -> u64 {
        answered(&self.stack).saturating_sub(self.answered_before)
    }

    /// How many debits wait for the ledger; none where there is no gateway.
    pub fn waiting(&self) -> u64 {
        match self.variant.is_gateway() {
            true => self.stack.stat("wasmcustom.pax_outbox_waiting").unwrap_or(0),
            false => 0,
        }
    }
}

/// The module of `BENCH_BEFORE`.
fn before() -> Option<PathBuf> {
    std::env::var_os("BENCH_BEFORE").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn answered(stack: &Stack) -> u64 {
    stack.stat("http.gateway.downstream_rq_2xx").unwrap_or(0)
}
