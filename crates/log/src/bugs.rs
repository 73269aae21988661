//! Bugs that the harness in `sim/` switches on, one at a time, to prove that it catches them. In
//! any other build none is there, and every question about one compiles to nothing.

/// A bug that could have been made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    AckBeforeSync,
    FailedSyncTriedAgain,
    WriterGoesOnAfterError,
    SegmentNameNotSynced,
    SealedNamesNotSynced,
    SealedFileNotSynced,
    ManifestNotDurableAtOpening,
    ManifestNotTakenBack,
    OlderManifestOnInputError,
    UnmadeSegmentLeft,
    SegmentBegunUnsaid,
    RoomOfUnbegunSegment,
    SegmentRemovedBeforeManifest,
    LastGroupNotWrittenAgain,
    TornTailNotCleared,
    TornTailNotClearedAgain,
    FullWriteIsRefusal,
    ReadErrorIsEnd,
    BodyChecksumUnread,
    WatermarkOneShort,
    RecordedTimeGoesBack,
    RevisionOfStaleRun,
    LastRevisionNotUpdated,
    IdentitiesForgottenAtOpening,
    MergeInWrongOrder,
    PostingsDropLast,
    StreamBoundExclusive,
    RecentIndexDroppedEarly,
    ConditionIgnoresGroup,
    RevisionIgnoresGroup,
    TwinsInGroupUnseen,
    ConditionBeforeIdentity,
    RegisterWithoutItsEvent,
    RegisterComesBack,
    DeletedTopicComesBack,
    DeletedFlagNotSealed,
    OldRevisionsUnderNewName,
    KeyFolderNotSynced,
    KeysNotSynced,
    KeysOfFormerTopic,
    KeysDestroyedBeforeRecord,
    ArchivedFileRemovedFirst,
}

/// Whether a bug is switched on.
#[cfg(not(feature = "seeded-bugs"))]
pub(crate) const fn on(_: Bug) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
pub use switch::{on, switch_on, switched_on};

#[cfg(feature = "seeded-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether a bug is switched on, for this thread.
    pub fn on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// The bug that is switched on, for this thread.
    pub fn switched_on() -> Option<Bug> {
        ON.get()
    }

    /// Switches a bug on, or all off, for this thread.
    pub fn switch_on(bug: Option<Bug>) {
        ON.set(bug);
    }

    impl Bug {
        pub const ALL: [Bug; 42] = [
            Bug::AckBeforeSync,
            Bug::FailedSyncTriedAgain,
            Bug::WriterGoesOnAfterError,
            Bug::SegmentNameNotSynced,
            Bug::SealedNamesNotSynced,
            Bug::SealedFileNotSynced,
            Bug::ManifestNotDurableAtOpening,
            Bug::ManifestNotTakenBack,
            Bug::OlderManifestOnInputError,
            Bug::UnmadeSegmentLeft,
            Bug::SegmentBegunUnsaid,
            Bug::RoomOfUnbegunSegment,
            Bug::SegmentRemovedBeforeManifest,
            Bug::LastGroupNotWrittenAgain,
            Bug::TornTailNotCleared,
            Bug::TornTailNotClearedAgain,
            Bug::FullWriteIsRefusal,
            Bug::ReadErrorIsEnd,
            Bug::BodyChecksumUnread,
            Bug::WatermarkOneShort,
            Bug::RecordedTimeGoesBack,
            Bug::RevisionOfStaleRun,
            Bug::LastRevisionNotUpdated,
            Bug::IdentitiesForgottenAtOpening,
            Bug::MergeInWrongOrder,
            Bug::PostingsDropLast,
            Bug::StreamBoundExclusive,
            Bug::RecentIndexDroppedEarly,
            Bug::ConditionIgnoresGroup,
            Bug::RevisionIgnoresGroup,
            Bug::TwinsInGroupUnseen,
            Bug::ConditionBeforeIdentity,
            Bug::RegisterWithoutItsEvent,
            Bug::RegisterComesBack,
            Bug::DeletedTopicComesBack,
            Bug::DeletedFlagNotSealed,
            Bug::OldRevisionsUnderNewName,
            Bug::KeyFolderNotSynced,
            Bug::KeysNotSynced,
            Bug::KeysOfFormerTopic,
            Bug::KeysDestroyedBeforeRecord,
            Bug::ArchivedFileRemovedFirst,
        ];
    }
}
