// Registers of a node, 32 bits each, over AXI4-Lite. A write to CTRL starts a job. Writes while a job runs, and to
// registers that can only be read, change nothing.
//
//   0x00 ID            r   0x4D455001: "MEP", version 1
//   0x04 CTRL          w   bits 1..0 operation (1 WRITE, 2 READ, 3 RUN); bits 14..8 flags of RUN: NUDGE, LEARN,
//                          EMIT_FREE, EMIT_READOUT, EMIT_PLUS, EMIT_MINUS, ASYNC from bit 8 on
//   0x08 STATUS        r   bit 0 busy, bit 1 done, bit 2 error
//   0x0C ERROR         r   bits 15..0 frame, 17..16 phase, 18 link (0 below, 1 above), 20..19 what: 0 the job was
//                          refused (no such operation; LEARN, EMIT_PLUS or EMIT_MINUS without NUDGE; LEARN on a node
//                          without learning; ASYNC on a node without links), 1 the frame did not come in
//                          TIMEOUT cycles, 2 another one came, 3 the neighbour did not take the
//                          frame in TIMEOUT cycles; after 1 to 3 no job starts until all nodes are reset
//   0x10 FREE_STEPS    rw  steps of a free phase; with ASYNC the most that it makes, and at most 65534
//   0x14 NUDGED_STEPS  rw  the same of a nudged phase
//   0x18 BETA          rw  nudging strength, 17 bits, at most that of the specification (its sums are proved for it)
//   0x1C TIMEOUT       rw  cycles to wait for a frame to come or to be taken; 0: for ever
//   0x20 JOBS          r   RUN jobs since reset
//   0x24 CYCLES        r   of the last job, from its start to its end
//   0x28 STATIC        r   of them: the static drive of layer 1 with its pipeline's filling
//   0x2C SETTLE        r   of them: steps
//   0x30 BUSY          r   of SETTLE: cycles in which a word of weights is multiplied
module mep_axil #(
`include "mep_config.svh"
) (
    input  logic        clk,
    input  logic        rst,
    input  logic [5:0]  s_axil_awaddr,
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [1:0]  s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [5:0]  s_axil_araddr,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [1:0]  s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready,
    output logic        start,
    output logic [1:0]  operation,
    output logic [6:0]  flags,
    output logic [15:0] free_steps,
    output logic [15:0] nudged_steps,
    output logic [16:0] beta,
    output logic [31:0] timeout,
    input  logic        busy,
    input  logic        done,
    input  logic        error,
    input  logic [20:0] error_at,
    input  logic [31:0] jobs,
    input  logic [31:0] cycles,
    input  logic [31:0] static_cycles,
    input  logic [31:0] settle_cycles,
    input  logic [31:0] busy_cycles
);
    wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid;
    wire read = s_axil_arvalid && !s_axil_rvalid;
    assign {s_axil_awready, s_axil_wready, s_axil_arready} = {write, write, read};
    assign {s_axil_bresp, s_axil_rresp} = '0;
    always_ff @(posedge clk) begin
        start <= 1'b0;
        if (write) begin
            s_axil_bvalid <= 1'b1;
            if (!busy && !start) case (s_axil_awaddr[5:2])
                4'h1: {start, operation, flags} <= {1'b1, s_axil_wdata[1:0], s_axil_wdata[14:8]};
                4'h4: free_steps <= s_axil_wdata[15:0];
                4'h5: nudged_steps <= s_axil_wdata[15:0];
                4'h6: beta <= s_axil_wdata[16:0];
                4'h7: timeout <= s_axil_wdata;
                default: ;
            endcase
        end else if (s_axil_bready) s_axil_bvalid <= 1'b0;
        if (read) begin
            s_axil_rvalid <= 1'b1;
            case (s_axil_araddr[5:2])
                4'h0: s_axil_rdata <= 32'h4D455001;
                4'h2: s_axil_rdata <= {29'd0, error, done && !start, busy || start};
                4'h3: s_axil_rdata <= {11'd0, error_at};
                4'h4: s_axil_rdata <= {16'd0, free_steps};
                4'h5: s_axil_rdata <= {16'd0, nudged_steps};
                4'h6: s_axil_rdata <= {15'd0, beta};
                4'h7: s_axil_rdata <= timeout;
                4'h8: s_axil_rdata <= jobs;
                4'h9: s_axil_rdata <= cycles;
                4'hA: s_axil_rdata <= static_cycles;
                4'hB: s_axil_rdata <= settle_cycles;
                4'hC: s_axil_rdata <= busy_cycles;
                default: s_axil_rdata <= '0;
            endcase
        end else if (s_axil_rready) s_axil_rvalid <= 1'b0;
        if (rst) begin
            {start, operation, flags, s_axil_bvalid, s_axil_rvalid} <= '0;
            free_steps <= FREE_STEPS;
            nudged_steps <= NUDGED_STEPS;
            beta <= BETA;
            timeout <= TIMEOUT;
        end
    end
    wire unused = &{1'b0, s_axil_awaddr[1:0], s_axil_araddr[1:0]};
endmodule
