//! 手動受付: the kinds of reports that have a form of their own.

closed_words! {
    /// What is told.
    ReportKind {
        /// Somebody of the organisation, or from outside, tells of something.
        Staff "staff" "職員・外部からの通報" "Report by staff or from outside",
        /// A device or a medium is gone.
        Device "device_lost" "端末・媒体の紛失" "Lost device or medium",
        /// Somebody made a mistake.
        Mistake "human_error" "事務処理ミス" "Human error",
        /// Somebody who gives no name.
        Anonymous "anonymous" "匿名の通報" "Anonymous report",
    }
}
