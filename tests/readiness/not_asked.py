"""Actions in the resource schemas that CloudFormation does not call for the warehouse, with reasons.

The lists are reviewed by hand. If a test reports a pair that is not listed here, either the templates now need the
action, or `physical` lacks an ARN.
"""

# The actions by reason and resource type.
NOT_ASKED = {
    "Definitions in a bucket, and integrations with a role: those here are in the template, and call functions": {
        "AWS::ApiGateway::RestApi": ["iam:PassRole", "s3:GetObject"],
    },
    "Queries run, and write their results, with the rights of who asks": {
        "AWS::Athena::WorkGroup": [
            "iam:CreateServiceLinkedRole", "iam:PassRole", "s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
        ],
    },
    "Certificates of a private authority": {
        "AWS::CertificateManager::Certificate": ["acm-pca:GetCertificate", "acm-pca:IssueCertificate"],
    },
    "Nested stacks have the role of their parent": {"AWS::CloudFormation::Stack": ["iam:PassRole"]},
    "Machines of one's own": {"AWS::CodeDeploy::DeploymentGroup": ["codedeploy:RegisterOnPremisesInstance"]},
    "Tables that are imported, scaled automatically, or streamed to Kinesis": {
        "AWS::DynamoDB::Table": [
            "iam:CreateServiceLinkedRole", "kinesis:DescribeStream", "kinesis:PutRecords", "logs:CreateLogGroup", "logs:CreateLogStream",
            "logs:DescribeLogStreams", "logs:PutLogEvents", "logs:PutRetentionPolicy", "s3:GetObject", "s3:GetObjectMetadata", "s3:ListBucket",
        ],
    },
    "Flow logs in a bucket, through the log delivery of CloudWatch": {
        "AWS::EC2::FlowLog": ["iam:CreateServiceLinkedRole", "s3:GetBucketPolicy", "s3:PutBucketPolicy"],
    },
    "Endpoints of a service network": {"AWS::EC2::VPCEndpoint": ["vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation"]},
    "Targets that need a role: those here are a topic": {"AWS::Events::Rule": ["iam:PassRole"]},
    "Databases of a connection; tables with a schema of the registry, of Lake Formation or of Iceberg": {
        "AWS::Glue::Database": ["glue:PassConnection"],
        "AWS::Glue::Table": [
            "glue:GetSchemaVersion", "glue:PassConnection", "iam:PassRole", "lakeformation:CreateTable", "s3:GetObject", "s3:PutObject",
        ],
    },
    "Policies that name groups and users, or the roles that have them: here the roles name the policies": {
        "AWS::IAM::ManagedPolicy": [
            "iam:AttachGroupPolicy", "iam:AttachRolePolicy", "iam:AttachUserPolicy", "iam:DetachGroupPolicy", "iam:DetachRolePolicy",
            "iam:DetachUserPolicy",
        ],
        "AWS::IAM::Policy": [
            "iam:DeleteGroupPolicy", "iam:DeleteUserPolicy", "iam:GetGroupPolicy", "iam:GetUserPolicy", "iam:PutGroupPolicy", "iam:PutUserPolicy",
        ],
    },
    "Functions with file systems, layers, signed code, or machines of their own": {
        "AWS::Lambda::Function": [
            "elasticfilesystem:DescribeMountTargets", "lambda:AssociateRuntimeAlias", "lambda:GetCodeSigningConfig", "lambda:GetLayerVersion",
            "lambda:PassCapacityProvider", "s3files:ListMountTargets",
        ],
    },
    "Clusters with a key, an address or endpoints of their own, with copies of snapshots, or outside of a network": {
        "AWS::Redshift::Cluster": [
            "cloudwatch:PutMetricData", "ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup",
            "ec2:CreateVpcEndpoint", "ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifyVpcEndpoint", "kms:CreateGrant", "kms:Decrypt",
            "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
        ],
        "AWS::Redshift::ClusterParameterGroup": ["ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:AttachNetworkInterface"],
        "AWS::Redshift::ClusterSubnetGroup": ["ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:AttachNetworkInterface"],
    },
    "The role has all of ec2:Describe*, as it is listed": {"AWS::Redshift::Cluster": ["ec2:Describe*"]},
    "No actions of IAM, or of another service: the schemas list them by mistake": {
        "AWS::Logs::LogGroup": ["firehose:TagDeliveryStream", "s3:REST.PUT.OBJECT"],
        "AWS::Redshift::Cluster": ["redshift:DescribeSnapshotCopyGrant", "redshift:ModifyClusterDbRevisions"],
        "AWS::Redshift::ClusterParameterGroup": ["initech:DeleteReport", "initech:DescribeReport", "initech:UpdateReport"],
        # The actions that set these configurations also remove them.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
        "AWS::S3::Bucket": [
            "s3:DeleteBucketAnalyticsConfiguration", "s3:DeleteBucketCors", "s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle",
            "s3:DeleteBucketMetricsConfiguration", "s3:DeleteBucketReplication", "s3:PutBucketReplication", "s3:PutObjectLockConfiguration",
        ],
    },
    "Zones whose queries are logged": {"AWS::Route53::HostedZone": ["route53:DeleteQueryLoggingConfig"]},
    "Buckets with replicas and metadata tables; objects, which CloudFormation leaves alone": {
        "AWS::S3::Bucket": [
            "iam:PassRole", "s3:DeleteObject", "s3:PutObjectAcl", "s3tables:CreateNamespace", "s3tables:CreateTable", "s3tables:CreateTableBucket",
            "s3tables:GetTable", "s3tables:GetTableMetadataLocation", "s3tables:PutTableBucketPolicy", "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy", "s3tables:UpdateTableMetadataLocation",
        ],
    },
    "Topics whose deliveries are logged, and subscriptions of Firehose": {
        "AWS::SNS::Subscription": ["iam:GetRole", "iam:PassRole"],
        "AWS::SNS::Topic": ["iam:GetRole", "iam:PassRole"],
    },
    "State machines whose definition and history have a key of their own": {
        "AWS::StepFunctions::StateMachine": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
    },
    "Firewalls before anything but an API": {
        "AWS::WAFv2::WebACLAssociation": [
            "amplify:AssociateWebACL", "amplify:DisassociateWebACL", "amplify:GetWebACLForResource", "apprunner:DescribeWebAclForService",
            "apprunner:DisassociateWebAcl", "appsync:AssociateWebACL", "appsync:DisassociateWebACL", "appsync:GetWebACLForResource",
            "bedrock-agentcore:GatewayAssociateWebACL", "bedrock-agentcore:GatewayDisassociateWebACL", "bedrock-agentcore:GatewayGetWebACLForResource",
            "cognito-idp:DisassociateWebACL", "cognito-idp:GetWebACLForResource", "ec2:AssociateVerifiedAccessInstanceWebAcl",
            "ec2:DisassociateVerifiedAccessInstanceWebAcl", "ec2:GetVerifiedAccessInstanceWebAcl", "elasticloadbalancing:CreateWebACLAssociation",
            "elasticloadbalancing:DeleteWebACLAssociation", "elasticloadbalancing:GetLoadBalancerWebACL",
        ],
    },
}  # fmt: skip

# Actions that only some resources of a type need. The key describes the resources that do not need them.
SOMETIMES = {
    "Roles without a policy of AWS or of the stack": {"AWS::IAM::Role": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"]},
    "Functions whose traffic is not shifted": {
        "AWS::Lambda::Alias": [
            "codedeploy:CreateDeployment", "codedeploy:GetDeployment", "codedeploy:GetDeploymentConfig", "codedeploy:GetDeploymentGroup",
            "codedeploy:StopDeployment",
        ],
    },
    "Clusters whose password is a parameter": {"AWS::Redshift::Cluster": ["secretsmanager:CreateSecret", "secretsmanager:TagResource"]},
}  # fmt: skip

# Actions that are needed only with a KMS key.
WITHOUT_A_KEY = {
    "AWS::Athena::WorkGroup": ["kms:Decrypt", "kms:GenerateDataKey"],
    "AWS::DynamoDB::Table": ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:RevokeGrant"],
    "AWS::KinesisFirehose::DeliveryStream": ["kms:CreateGrant", "kms:DescribeKey", "kms:RevokeGrant"],
    "AWS::Lambda::Function": [
        "kms:CreateGrant",
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
    ],
}


def pairs(*by_type):
    return {(kind, action) for one in by_type for kind, actions in one.items() for action in actions}
