"""Actions in the resource schemas that CloudFormation does not call for the warehouse, with reasons.

The lists are reviewed by hand. If a test reports a pair that is not listed here, either the templates now need the
action, or `physical` lacks an ARN.
"""

# The actions by reason and resource type.
NOT_ASKED = {
    "Only for API definitions in a bucket and integrations with a role": {
        "AWS::ApiGateway::RestApi": ["iam:PassRole", "s3:GetObject"],
    },
    "Queries use the permissions of the caller": {
        "AWS::Athena::WorkGroup": [
            "iam:CreateServiceLinkedRole", "iam:PassRole", "s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
        ],
    },
    "Only for certificates of a private authority": {
        "AWS::CertificateManager::Certificate": ["acm-pca:GetCertificate", "acm-pca:IssueCertificate"],
    },
    "Nested stacks use the role of their parent": {"AWS::CloudFormation::Stack": ["iam:PassRole"]},
    "Only for on-premises instances": {"AWS::CodeDeploy::DeploymentGroup": ["codedeploy:RegisterOnPremisesInstance"]},
    "Only for tables that are imported, auto scaled, or streamed to Kinesis": {
        "AWS::DynamoDB::Table": [
            "iam:CreateServiceLinkedRole", "kinesis:DescribeStream", "kinesis:PutRecords", "logs:CreateLogGroup", "logs:CreateLogStream",
            "logs:DescribeLogStreams", "logs:PutLogEvents", "logs:PutRetentionPolicy", "s3:GetObject", "s3:GetObjectMetadata", "s3:ListBucket",
        ],
    },
    "Only for flow logs in a bucket": {
        "AWS::EC2::FlowLog": ["iam:CreateServiceLinkedRole", "s3:GetBucketPolicy", "s3:PutBucketPolicy"],
    },
    "Only for endpoints of a service network": {"AWS::EC2::VPCEndpoint": ["vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation"]},
    "Only for targets that need a role": {"AWS::Events::Rule": ["iam:PassRole"]},
    "Only for databases of a connection, and tables of a schema registry, Lake Formation or Iceberg": {
        "AWS::Glue::Database": ["glue:PassConnection"],
        "AWS::Glue::Table": [
            "glue:GetSchemaVersion", "glue:PassConnection", "iam:PassRole", "lakeformation:CreateTable", "s3:GetObject", "s3:PutObject",
        ],
    },
    "Only for policies that name groups, users or roles": {
        "AWS::IAM::ManagedPolicy": [
            "iam:AttachGroupPolicy", "iam:AttachRolePolicy", "iam:AttachUserPolicy", "iam:DetachGroupPolicy", "iam:DetachRolePolicy",
            "iam:DetachUserPolicy",
        ],
        "AWS::IAM::Policy": [
            "iam:DeleteGroupPolicy", "iam:DeleteUserPolicy", "iam:GetGroupPolicy", "iam:GetUserPolicy", "iam:PutGroupPolicy", "iam:PutUserPolicy",
        ],
    },
    "Only for functions with file systems, layers, signed code, or capacity providers": {
        "AWS::Lambda::Function": [
            "elasticfilesystem:DescribeMountTargets", "lambda:AssociateRuntimeAlias", "lambda:GetCodeSigningConfig", "lambda:GetLayerVersion",
            "lambda:PassCapacityProvider", "s3files:ListMountTargets",
        ],
    },
    "Only for clusters with a KMS key, an elastic IP, endpoints, or snapshot copies, or outside a VPC": {
        "AWS::Redshift::Cluster": [
            "cloudwatch:PutMetricData", "ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup",
            "ec2:CreateVpcEndpoint", "ec2:ModifyNetworkInterfaceAttribute", "ec2:ModifyVpcEndpoint", "kms:CreateGrant", "kms:Decrypt",
            "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
        ],
        "AWS::Redshift::ClusterParameterGroup": ["ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:AttachNetworkInterface"],
        "AWS::Redshift::ClusterSubnetGroup": ["ec2:AllocateAddress", "ec2:AssociateAddress", "ec2:AttachNetworkInterface"],
    },
    "The role has ec2:Describe* through the listed actions": {"AWS::Redshift::Cluster": ["ec2:Describe*"]},
    "Listed by mistake: unknown to IAM, or of another service": {
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
    "Only for zones with query logging": {"AWS::Route53::HostedZone": ["route53:DeleteQueryLoggingConfig"]},
    "Only for buckets with replication or metadata tables, and for objects, which CloudFormation does not touch": {
        "AWS::S3::Bucket": [
            "iam:PassRole", "s3:DeleteObject", "s3:PutObjectAcl", "s3tables:CreateNamespace", "s3tables:CreateTable", "s3tables:CreateTableBucket",
            "s3tables:GetTable", "s3tables:GetTableMetadataLocation", "s3tables:PutTableBucketPolicy", "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy", "s3tables:UpdateTableMetadataLocation",
        ],
    },
    "Only for topics with delivery logging, and subscriptions of Firehose": {
        "AWS::SNS::Subscription": ["iam:GetRole", "iam:PassRole"],
        "AWS::SNS::Topic": ["iam:GetRole", "iam:PassRole"],
    },
    "Only for state machines with a KMS key": {
        "AWS::StepFunctions::StateMachine": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
    },
    "Only for web ACLs of resources other than an API": {
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
