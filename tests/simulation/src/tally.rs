//! What runs came to.

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Seeds.
    pub seeds: u64,
    /// Things that happened.
    pub steps: u64,
    /// Calls that asked for a reservation.
    pub calls: u64,
    /// Entries in the ledger at the end.
    pub entries: u64,
    /// Debits of an exchange that had an entry of other bytes.
    pub conflicts: u64,
    /// Calls whose VM died.
    pub orphans: u64,
    /// Calls whose VM was taken for dead and lived.
    pub doubted: u64,
    /// Lanes that were taken from a VM that was dead, or taken for dead.
    pub taken: u64,
    /// Roots that another took over from.
    pub retired: u64,
    /// Of them: with a batch of debits under way.
    pub retired_sending: u64,
    /// Debits of dead VMs that another VM sent as they were.
    pub adopted: u64,
    /// Calls under the card that came while the Envoy ran.
    pub later_card: u64,
    /// Holds that the ledger made.
    pub holds: u64,
    /// Holds that it refused.
    pub holds_refused: u64,
    /// Holds that ended by a void.
    pub holds_voided: u64,
    /// Holds that expired with their Envoy's lease.
    pub holds_expired: u64,
    /// Debits that came after their hold had expired.
    pub late: u64,
    /// Holds of the free tier.
    pub free_holds: u64,
    /// Expiries of lots.
    pub expiries: u64,
    /// How often a lot that was over was kept, because open holds needed it.
    pub kept_for_holds: u64,
    /// Grants that paid a negative balance first.
    pub debts_paid: u64,
    /// Corrections of grants.
    pub grants_corrected: u64,
    /// Calls that an operator made cheaper.
    pub corrected: u64,
    /// True debits that came after an estimate.
    pub better: u64,
    /// Restores of the ledger that lost entries, which came back.
    pub restores: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.calls += other.calls;
        self.entries += other.entries;
        self.conflicts += other.conflicts;
        self.orphans += other.orphans;
        self.doubted += other.doubted;
        self.taken += other.taken;
        self.retired += other.retired;
        self.retired_sending += other.retired_sending;
        self.adopted += other.adopted;
        self.later_card += other.later_card;
        self.holds += other.holds;
        self.holds_refused += other.holds_refused;
        self.holds_voided += other.holds_voided;
        self.holds_expired += other.holds_expired;
        self.late += other.late;
        self.free_holds += other.free_holds;
        self.expiries += other.expiries;
        self.kept_for_holds += other.kept_for_holds;
        self.debts_paid += other.debts_paid;
        self.grants_corrected += other.grants_corrected;
        self.corrected += other.corrected;
        self.better += other.better;
        self.restores += other.restores;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} seeds: {} steps, {} calls ({} under a later card), {} entries; {} calls lost their VM, {} had one that was \
             taken for dead, {} conflicts; {} lanes taken, {} roots retired ({} of them sending), {} debits of dead \
             VMs sent by another; {} holds made, {} voided, {} expired ({} debited late), {} refused, {} of tier free; \
             {} expiries of lots, {} times holds kept one that was over, {} grants paid a debt and {} were corrected; \
             {} calls made cheaper, {} true debits after an estimate, {} restores",
            self.seeds,
            self.steps,
            self.calls,
            self.later_card,
            self.entries,
            self.orphans,
            self.doubted,
            self.conflicts,
            self.taken,
            self.retired,
            self.retired_sending,
            self.adopted,
            self.holds,
            self.holds_voided,
            self.holds_expired,
            self.late,
            self.holds_refused,
            self.free_holds,
            self.expiries,
            self.kept_for_holds,
            self.debts_paid,
            self.grants_corrected,
            self.corrected,
            self.better,
            self.restores
        )
    }
}
