use std::fmt;

/// Of the `X-Amz-Target` header. The name of the operation follows it.
const TARGET_PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";

/// An ECS API operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Names the clusters, a page at a time.
    ListClusters,
    /// Describes at most 100 clusters.
    DescribeClusters,
    /// Names the tasks of one cluster and one desired status, a page at a time.
    ListTasks,
    /// Describes at most 100 tasks of one cluster.
    DescribeTasks,
    /// Names the services of one cluster, a page at a time.
    ListServices,
    /// Describes at most 10 services of one cluster.
    DescribeServices,
}

impl Operation {
    pub const ALL: [Self; 6] = [
        Self::ListClusters,
        Self::DescribeClusters,
        Self::ListTasks,
        Self::DescribeTasks,
        Self::ListServices,
        Self::DescribeServices,
    ];

    /// The name in the API, which is also the IAM action after `ecs:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListClusters => "ListClusters",
            Self::DescribeClusters => "DescribeClusters",
            Self::ListTasks => "ListTasks",
            Self::DescribeTasks => "DescribeTasks",
            Self::ListServices => "ListServices",
            Self::DescribeServices => "DescribeServices",
        }
    }

    /// Parses the `X-Amz-Target` header. `None` if the stand-in does not support the operation.
    pub(super) fn from_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix(TARGET_PREFIX)?;
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
