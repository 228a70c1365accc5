package encryption

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/plumbline-dev/plumbline/api/v1alpha1"
	"github.com/plumbline-dev/plumbline/controllers/control"
)

// RDSStorageEncryption holds that the storage of every database instance and cluster is encrypted.
var RDSStorageEncryption = control.Control[v1alpha1.RDSStorage]{
	Meta: control.Meta{
		ID:    "rds-storage-encryption",
		Title: "RDS storage encrypted",
		Doc: "Encryption covers a database's storage, its logs, backups, replicas and snapshots. It is chosen when the database is " +
			"made and cannot be turned on later: copy a snapshot with a key, restore the copy and replace the database. Nothing is " +
			"changed. DocumentDB and Neptune answer in the same API and are judged alike. Members of a cluster have the cluster's " +
			"storage and are not reported beside it.",
		Scope:       control.Region,
		Risk:        control.ReportOnly,
		Severity:    v1alpha1.SeverityMedium,
		PerResource: true,
		Frameworks: map[string][]string{
			"CIS-5.0": {"2.2.1"}, "CIS-3.0": {"2.3.1"}, "SecurityHub": {"RDS.3", "RDS.27"},
		},
		Reads: []string{"rds:DescribeDBClusters", "rds:DescribeDBInstances"},
	},
	Observe: observeRDSStorageEncryption,
}

// recordsPerPage is the most that one page of the RDS API holds.
const recordsPerPage = 100

func observeRDSStorageEncryption(ctx context.Context, t *control.Target, _ v1alpha1.RDSStorage) ([]control.Finding, error) {
	api := rds.NewFromConfig(t.AWS)
	clusters, err := allPages("DescribeDBClusters", func(marker *string) ([]types.DBCluster, *string, error) {
		out, err := api.DescribeDBClusters(ctx, &rds.DescribeDBClustersInput{MaxRecords: aws.Int32(recordsPerPage), Marker: marker})
		if err != nil {
			return nil, nil, fmt.Errorf("listing database clusters: %w", err)
		}
		return out.DBClusters, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	instances, err := allPages("DescribeDBInstances", func(marker *string) ([]types.DBInstance, *string, error) {
		out, err := api.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{MaxRecords: aws.Int32(recordsPerPage), Marker: marker})
		if err != nil {
			return nil, nil, fmt.Errorf("listing database instances: %w", err)
		}
		return out.DBInstances, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	var found []control.Finding
	listed := map[string]bool{}
	for _, c := range clusters {
		listed[strings.ToLower(aws.ToString(c.DBClusterIdentifier))] = true
		found = append(found, judgeStorage(aws.ToString(c.DBClusterArn), c.StorageEncrypted, c.StorageEncryptionType)...)
	}
	for _, i := range instances {
		// A member whose cluster is not in the list is judged by itself: somebody must be.
		if cluster := aws.ToString(i.DBClusterIdentifier); cluster == "" || !listed[strings.ToLower(cluster)] {
			found = append(found, judgeStorage(aws.ToString(i.DBInstanceArn), i.StorageEncrypted, i.StorageEncryptionType)...)
		}
	}
	return found, nil
}

// judgeStorage reports storage that is not encrypted. The flag alone does not tell: it is false for storage under a key that
// AWS owns, which only the type names ("StorageEncryptionType" in the API reference).
func judgeStorage(arn string, flag *bool, kind types.StorageEncryptionType) []control.Finding {
	switch {
	case arn == "":
		return []control.Finding{control.Unreadable("", control.Unexpected("a database of RDS", "its ARN"))}
	case aws.ToBool(flag), kind == types.StorageEncryptionTypeCmk, kind == types.StorageEncryptionTypeSse:
		return nil
	case flag == nil:
		return []control.Finding{control.Unreadable(arn, control.Unexpected("a database of RDS", "StorageEncrypted"))}
	case kind != "" && kind != types.StorageEncryptionTypeUnencrypted:
		return []control.Finding{control.Unreadable(arn, control.Unexpected("a database of RDS", "a StorageEncryptionType that is known"))}
	}
	return []control.Finding{{Drift: control.Drift{
		Resource: arn, Fields: []control.Field{{Path: "storageEncrypted", Want: "true", Got: "false"}},
	}}}
}
