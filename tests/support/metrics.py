"""All metrics that dashboards and alarms can use: from the AWS documentation, and from the code that publishes them."""

import event_types

API = "https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html"
LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
FIREHOSE = "https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-metrics.html"
S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html"
GLUE = "https://docs.aws.amazon.com/glue/latest/dg/monitoring-awsglue-with-cloudwatch-metrics.html"
STATES = "https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html"
SQS = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"
DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html"
ATHENA = "https://docs.aws.amazon.com/athena/latest/ug/query-metrics-viewing.html"
REDSHIFT = "https://docs.aws.amazon.com/redshift/latest/mgmt/metrics-listing.html"

# The event types in Pascal case, by name. The names of the sink's metrics have this form.
PASCAL = {event_type: event_types.pascal(event_type) for event_type in event_types.names()}

# The metrics by namespace: (source, valid sets of dimensions, metric names with their units).
DOCUMENTED = {
    "AWS/ApiGateway": (
        API,
        [{"ApiName"}, {"ApiName", "Stage"}],
        {
            "Count": "Count",
            "4XXError": "Count",
            "5XXError": "Count",
            "Latency": "Milliseconds",
            "IntegrationLatency": "Milliseconds",
        },
    ),
    "AWS/Lambda": (
        LAMBDA,
        [{"FunctionName"}, {"FunctionName", "Resource"}],
        {
            "Invocations": "Count",
            "Errors": "Count",
            "Throttles": "Count",
            "Duration": "Milliseconds",
            "ConcurrentExecutions": "Count",
        },
    ),
    "AWS/Firehose": (
        FIREHOSE,
        [{"DeliveryStreamName"}],
        {
            "IncomingRecords": "Count",
            "IncomingBytes": "Bytes",
            "IncomingPutRequests": "Count",
            "ThrottledRecords": "Count",
            "RecordsPerSecondLimit": "Count",
            "BytesPerSecondLimit": "Bytes",
            "PutRequestsPerSecondLimit": "Count",
            "DeliveryToS3.DataFreshness": "Seconds",
            "DeliveryToS3.Success": "Share",
            "DeliveryToS3.Records": "Count",
            "ExecuteProcessing.Success": "Share",
            "ExecuteProcessing.Duration": "Milliseconds",
            "SucceedProcessing.Records": "Count",
        },
    ),
    "AWS/S3": (S3, [{"BucketName", "StorageType"}], {"BucketSizeBytes": "Bytes", "NumberOfObjects": "Count"}),
    "Glue": (
        GLUE,
        [{"JobName", "JobRunId", "Type"}],
        {
            "glue.driver.aggregate.elapsedTime": "Milliseconds",
        },
    ),
    "AWS/States": (
        STATES,
        [{"StateMachineArn"}],
        {
            "ExecutionsStarted": "Count",
            "ExecutionsSucceeded": "Count",
            "ExecutionsFailed": "Count",
            "ExecutionsTimedOut": "Count",
            "ExecutionsAborted": "Count",
            "ExecutionTime": "Milliseconds",
        },
    ),
    "AWS/SQS": (SQS, [{"QueueName"}], {"ApproximateNumberOfMessagesVisible": "Count"}),
    "AWS/DynamoDB": (
        DYNAMODB,
        [{"TableName"}, {"TableName", "Operation"}],
        {
            "ConsumedReadCapacityUnits": "Count",
            "ConsumedWriteCapacityUnits": "Count",
            "ReadThrottleEvents": "Count",
            "WriteThrottleEvents": "Count",
            "SuccessfulRequestLatency": "Milliseconds",
        },
    ),
    "AWS/Athena": (
        ATHENA,
        [{"QueryState", "QueryType", "WorkGroup"}],
        {"ProcessedBytes": "Bytes", "TotalExecutionTime": "Milliseconds"},
    ),
    "AWS/Redshift": (
        REDSHIFT,
        [{"ClusterIdentifier"}],
        {
            "CPUUtilization": "Percent",
            "PercentageDiskSpaceUsed": "Percent",
            "DatabaseConnections": "Count",
        },
    ),
    # The project's namespaces. Tests of the sink (crates/metrics-sink, tests/dashboard/test_sink.py), of the beacons
    # (crates/capture) and of the jobs (glue/tests) compare the published metrics with these names.
    "Warehouse/Advertising": (
        "crates/metrics-sink and crates/capture",
        [{"Stack"}, {"Stack", "Table"}, {"Stack", "Table", "Reason"}],
        {
            "SinkFailures": "Count",
            "UncountedEvents": "Count",
            "RefusedEvents": "Count",
            **{f"{prefix}{name}": "Count" for name in PASCAL.values() for prefix in ("", "Malformed")},
        },
    ),
    "Warehouse/Lake": (
        "glue/ledger.py and glue/lake/measure.py",
        [{"Stack", "Table"}, {"Stack", "Job"}],
        {
            "RawLines": "Count",
            "Kept": "Count",
            "Repeats": "Count",
            "Rejected": "Count",
            "Late": "Count",
            "Unbalanced": "Count",
            "RealTimeDivergence": "Percent",
            "JobTime": "Milliseconds",
            "JobFailures": "Count",
            "JobRows": "Count",
        },
    ),
}
