package encryption

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/cloud/cloudtest"
	"github.com/plumbline-dev/plumbline/controllers/control"
	"github.com/plumbline-dev/plumbline/controllers/control/controltest"
)

// databases answers the RDS API; the second page of instances follows the marker "2".
type databases struct {
	clusters []types.DBCluster
	pages    [2][]types.DBInstance
}

func (d databases) stage(c *cloudtest.Cloud) {
	cloudtest.Handle(c, func(cloudtest.Call, *rds.DescribeDBClustersInput) (*rds.DescribeDBClustersOutput, error) {
		return &rds.DescribeDBClustersOutput{DBClusters: d.clusters}, nil
	})
	cloudtest.Handle(c, func(_ cloudtest.Call, in *rds.DescribeDBInstancesInput) (*rds.DescribeDBInstancesOutput, error) {
		if aws.ToString(in.Marker) == "2" {
			return &rds.DescribeDBInstancesOutput{DBInstances: d.pages[1]}, nil
		}
		return &rds.DescribeDBInstancesOutput{DBInstances: d.pages[0], Marker: aws.String("2")}, nil
	})
}

const rdsARN = "arn:aws:rds:eu-central-1:111122223333:"

func cluster(name, engine string, encrypted bool) types.DBCluster {
	return types.DBCluster{
		DBClusterIdentifier: aws.String(name), DBClusterArn: aws.String(rdsARN + "cluster:" + name), Engine: aws.String(engine),
		StorageEncrypted: aws.Bool(encrypted),
	}
}

func instance(name, cluster string, encrypted bool) types.DBInstance {
	i := types.DBInstance{
		DBInstanceIdentifier: aws.String(name), DBInstanceArn: aws.String(rdsARN + "db:" + name), StorageEncrypted: aws.Bool(encrypted),
	}
	if cluster != "" {
		i.DBClusterIdentifier = aws.String(cluster)
	}
	return i
}

func storageDrift(resource string) control.Finding {
	return control.Finding{Drift: control.Drift{
		Resource: rdsARN + resource, Fields: []control.Field{{Path: "storageEncrypted", Want: "true", Got: "false"}},
	}}
}

func TestRDSStorageEncryption(t *testing.T) {
	enabled := v1alpha1.RDSStorage{ControlSpec: v1alpha1.ControlSpec{State: v1alpha1.Enabled}}
	awsOwned := cluster("owned", "aurora-postgresql", false)
	awsOwned.StorageEncryptionType = types.StorageEncryptionTypeSse
	untold, nameless, strange := instance("untold", "", false), instance("nameless", "", false), instance("strange", "", false)
	untold.StorageEncrypted, nameless.DBInstanceArn, strange.StorageEncryptionType = nil, nil, "sse-other"

	controltest.Run(t, RDSStorageEncryption, []controltest.Case[v1alpha1.RDSStorage]{
		{
			Name: "encrypted instances and clusters are compliant", Want: enabled,
			AWS: databases{
				clusters: []types.DBCluster{cluster("aurora", "aurora-mysql", true)},
				pages:    [2][]types.DBInstance{{instance("one", "", true), instance("member", "aurora", true)}},
			}.stage,
		},
		{
			Name: "an unencrypted cluster is reported once, not with its members", Want: enabled,
			AWS: databases{
				clusters: []types.DBCluster{cluster("aurora", "aurora-mysql", false)},
				pages:    [2][]types.DBInstance{{instance("writer", "aurora", false)}, {instance("reader", "aurora", false)}},
			}.stage,
			Findings: []control.Finding{storageDrift("cluster:aurora")},
		},
		{
			Name: "unencrypted instances are reported from every page", Want: enabled,
			AWS: databases{pages: [2][]types.DBInstance{
				{instance("one", "", false)}, {instance("two", "", true), instance("three", "", false)},
			}}.stage,
			Findings: []control.Finding{storageDrift("db:one"), storageDrift("db:three")},
		},
		{
			Name: "a member whose cluster is not listed is judged by itself", Want: enabled,
			AWS:      databases{pages: [2][]types.DBInstance{{instance("orphan", "gone", false)}}}.stage,
			Findings: []control.Finding{storageDrift("db:orphan")},
		},
		{
			Name: "DocumentDB and Neptune are judged alike", Want: enabled,
			AWS: databases{
				clusters: []types.DBCluster{cluster("documents", "docdb", false), cluster("graph", "neptune", false)},
				pages:    [2][]types.DBInstance{{instance("documents-1", "documents", false), instance("graph-1", "graph", false)}},
			}.stage,
			Findings: []control.Finding{storageDrift("cluster:documents"), storageDrift("cluster:graph")},
		},
		{
			Name: "storage under a key that AWS owns is encrypted although the flag says false", Want: enabled,
			AWS: databases{clusters: []types.DBCluster{awsOwned}}.stage,
		},
		{
			Name: "a database without the flag, without an ARN or with a type not known is unknown", Want: enabled,
			AWS:      databases{pages: [2][]types.DBInstance{{untold, nameless, strange}}}.stage,
			Findings: []control.Finding{unexpected(rdsARN + "db:untold"), unexpected(""), unexpected(rdsARN + "db:strange")},
		},
	})
}
