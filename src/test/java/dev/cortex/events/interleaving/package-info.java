/**
 * The interleavings that a queue on PostgreSQL gets wrong at first, each a test that carries its
 * number: {@code interleaving_13_…}. What each number stands for is said above its test.
 *
 * <pre>
 *  1  a ctid outlives its transaction                 SettledDeliveriesTest
 *  2  ordered lanes                                   OrderTest, crash.ChaosTest, delivery.EmitterHorizonTest,
 *                                                     delivery.LanePlansTest, operate.OrderedDeliveriesTest
 *  3  back-fill beside open emitters                   BackfillTest, cli.ReplayCommandTest
 *  4  a delivery and a replay of one event            SettledDeliveriesTest, ReplayTest, BackfillTest
 *  5  an event that retention has dropped             SettledDeliveriesTest, ReplayTest, BackfillTest
 *  6  leases, their renewal and their fence           LeasesTest, worker.LeasedHandlersTest, crash.LeaseCrashTest
 *  7  effects of an outcome that is not done          UndoneEffectsTest
 *  8  an event that kills the process              crash.KillerEventTest
 *  9  handlers without a key race                     fleet.TaskOutcomesTest, fleet.WorkerHealthTest, fleet.LearningTest
 * 10  dedupe keys in the emitter's transaction        RepeatedEventsTest
 * 11  batches on shared rows                          ContentionTest
 * 12  the fan-out fires once per statement            FanOutTest
 * 13  a late committer below the mark                 WakeUpTest
 * 14  several sleeping processes                      WakeUpTest
 * 15  what wakes beside emitting                      WakeUpTest, operate.OperatorVerbsTest
 * 16  a late commit of many rows                      LateRowsTest
 * 17  the server's clock steps back                   delivery.LowWaterMarksTest
 * 18  partitions made ahead                           FanOutTest
 * 19  counts of operators are capped                  operate.OperatorQuestionsTest
 * 20  a paused type                                   FairnessTest, operate.PausedTypeTest
 * 21  one handler's million rows                      FairnessTest
 * 23  advisory locks that anybody can take            WakeUpTest
 * 24  limits of leased handlers                       LeasesTest, crash.LeaseCrashTest
 * 25  another default isolation                       ContentionTest
 * 26  handlers that emit what they consume            FanOutTest
 * 27  a handler that is renamed, or goes               RenameAndRetireTest
 * 28  a process that dies                             LateRowsTest, crash.ChaosTest
 * 30  input that PostgreSQL refuses by itself         FanOutTest, outbox.EntrancesTest
 * 31  what jsonb and timestamptz normalise            FanOutTest
 * </pre>
 *
 * <p>One of the others has no test yet, since what it is about is not built: ending backends past
 * their budget before PostgreSQL 17 (22). 29 is a statement about failovers that the documentation
 * makes, 32 and 33 are figures of the command line and of the benchmark.
 */
@NullMarked
package dev.cortex.events.interleaving;

import org.jspecify.annotations.NullMarked;
