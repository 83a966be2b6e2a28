//! The bugs that are planted.

/// A bug that the simulator plants into its own part of the world, to see that it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// A call is settled twice.
    DoubleSettle,
    /// A compare-and-swap overwrites whatever is there.
    LostSwap,
    /// A debit's cell is emptied though the debit did not arrive.
    DroppedDebit,
    /// Durations are measured on the wall clock, which is set now and then.
    OneClock,
    /// A call's record is taken out before its debit is in its cell.
    EarlyClear,
    /// No watcher hears that a VM lives, so it sweeps the lane of one that does.
    UnheardBeat,
    /// A root that another took over from ends without being told, in the middle of a batch.
    LostRetirement,
    /// A debit's cell is emptied when the debit is sent, and not when it is acknowledged.
    EarlyEmpty,
    /// The sweeping VM keeps a dead VM's debit in its own memory alone.
    Uncopied,
    /// A VM reads the clocks once a callback, and so does not see that its thread stood still.
    StoppedClock,
    /// A void's cell is emptied though the void did not arrive.
    DroppedVoid,
    /// The record of a call that waits for its hold says that the call goes on.
    EarlyGoesOn,
    /// No Envoy's renewal of its lease reaches the ledger.
    LostRenewal,
    /// The ledger forgets the void of a hold that it has not seen yet.
    ForgottenVoid,
    /// A call hears that its hold is made before the ledger has made it.
    UnheardHold,
    /// A call whose hold was refused hears that it is made.
    UnheardRefusal,
    /// The ledger does not count open holds if it decides the next one.
    UncountedHolds,
    /// The ledger lets no lease lapse.
    EndlessLease,
    /// A call's void reaches the ledger though the call is charged.
    NeedlessVoid,
    /// An operator's correction changes what was spent, but raises no number by which Envoys would know.
    SilentCorrection,
    /// The true debit of a call that was charged by an estimate changes nothing.
    EstimateWins,
    /// A restored ledger goes on in the epoch before.
    KeptEpoch,
    /// A VM logs its callers' keys.
    LoggedSecret,
    /// An answer tells the caller's key.
    AnsweredSecret,
    /// A question to the ledger tells the caller's key.
    AskedSecret,
    /// An Envoy that starts anew keeps the number that it had.
    KeptNumber,
    /// Each worker of an Envoy has a number of its own.
    ManyNumbers,
    /// A debit that comes to the ledger again is made anew, of other bytes.
    RemadeDebit,
    /// An acknowledged debit is sent again, of other bytes.
    RemadeAcknowledged,
    /// An Envoy hears that the ledger knows its cards before it does.
    UntoldCards,
    /// What a worker has counted never reaches its Envoy's metrics.
    UntoldMetrics,
    /// The ledger does not count open holds of the free tier if it decides the next one.
    UncountedFreeHolds,
    /// The ledger sets aside less than a call asks for.
    SmallHold,
    /// A lot is taken for over before its end.
    EarlyExpiry,
    /// A lot that is over keeps nothing for open holds.
    GreedyExpiry,
    /// An expiry leaves the balance, and not its lot.
    UndrawnExpiry,
    /// An expiry takes more than its lot had.
    DearExpiry,
    /// The correction of a grant changes the balance, and not its lot.
    UncorrectedLot,
    /// A lot that is over and was kept for a hold stays when that has closed.
    ForgottenRest,
    /// The ledger never looks for lots that are over.
    LostPass,
    /// A debit draws first on the lot that ends last.
    LastLotFirst,
    /// A grant does not pay a negative balance first.
    UnpaidDebt,
    /// The debits that a restore has lost are not recorded again.
    UnrecoveredDebits,
    /// Its grants are not.
    UnrecoveredGrants,
    /// Its corrections are not.
    UnrecoveredCorrections,
}
