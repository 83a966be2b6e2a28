//! Callbacks of VMs: each runs to its end, or its VM dies in it, and then another takes its place.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pax_gateway::base::pax::Pax;

use crate::event::{Event, Site, What};
use crate::outside::Shared;
use crate::vm::Vm;
use crate::world::World;

/// A VM dies.
struct Trap;

impl World {
    /// The VM at work dies.
    pub(crate) fn vm_dies(&self, site: Site) {
        self.say(|| format!("  {site}: its VM dies"));
        resume_unwind(Box::new(Trap));
    }

    pub(crate) fn somebody_calls(&self, site: Site) {
        if self.worker(site).number.get() != 0 {
            let token = self.random_token();
            self.say(|| format!("{site}: somebody calls"));
            self.on(site, What::Call { token, own_key: self.random.chance(1, 15) });
        }
    }

    /// A worker without a VM gets one.
    pub(crate) fn load(&self, site: Site) {
        let worker = self.worker(site);
        if worker.number.get() != 0 {
            return;
        }
        let number = self.number();
        worker.number.set(number);
        self.say(|| format!("{site}: VM {number} begins"));
        worker.busy.set(true);
        let shared = Shared::new(self, site, number);
        let made = catch_unwind(AssertUnwindSafe(|| Box::new(Vm::new(&shared))));
        self.came_to_an_end(shared, made);
    }

    pub(crate) fn on(&self, site: Site, what: What) {
        let worker = self.worker(site);
        let Some(mut vm) = worker.vm.take() else { return };
        worker.busy.set(true);
        let shared = Shared::new(self, site, vm.number);
        let done = catch_unwind(AssertUnwindSafe(|| {
            vm.handle(&shared, what);
            vm
        }));
        self.came_to_an_end(shared, done);
    }

    /// A callback returned, or its VM died in it: a wasm trap, of which the host tells nobody.
    fn came_to_an_end(&self, shared: Shared<'_>, vm: std::thread::Result<Box<Vm>>) {
        let site = shared.site;
        let (worker, envoy) = (self.worker(site), &self.envoys[site.envoy]);
        worker.busy.set(false);
        let (count, admissions) = (shared.seen.count.take(), shared.seen.admissions.take());
        for admission in admissions {
            let cap = vm.as_ref().ok().and_then(|vm| vm.cap_of(admission.id));
            // Nobody knows to which cap a dead VM held its call: to none that was higher than this.
            let cap =
                cap.or_else(|| Some(self.ledger.borrow().accounts.get(&admission.account)?.highest_cap));
            shared.judge(admission, cap.unwrap_or(Pax::ZERO));
        }
        match vm {
            Ok(vm) => {
                envoy.counted.borrow_mut().returned(site.worker, shared.seen.ticked.get(), count);
                worker.vm.replace(Some(vm));
            }
            Err(payload) if payload.is::<Trap>() => {
                envoy.counted.borrow_mut().died(site.worker, count);
                self.vm_is_gone(site);
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    /// A worker's VM is no more: its streams are cut without a word.
    pub(crate) fn vm_is_gone(&self, site: Site) {
        let worker = self.worker(site);
        worker.vm.replace(None);
        let vm = worker.number.replace(0);
        // What it held is to be looked at again.
        self.envoys[site.envoy].changed.set(true);
        self.truth.borrow_mut().vm_died(vm);
        self.push(self.random.between(1, 3_000), Event::Reload(site));
    }
}
